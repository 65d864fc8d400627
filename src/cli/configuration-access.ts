import type { Configuration, ServerConfiguration } from '../config/configuration.ts';
import { WalnutError } from '../lib/walnut-error.ts';

export type ConfigurationAccessOptions = {
  readonly configPath: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
};

/** The configuration of one command line, read when first asked for. */
export class ConfigurationAccess {
  readonly #options: ConfigurationAccessOptions;
  #loaded: Promise<Configuration> | null = null;

  constructor(options: ConfigurationAccessOptions) {
    this.#options = options;
  }

  async load(): Promise<Configuration> {
    this.#loaded ??= import('../config/load.ts').then(({ loadConfiguration }) =>
      loadConfiguration(this.#options),
    );
    return await this.#loaded;
  }

  async resolveServer(name: string | undefined): Promise<ServerConfiguration> {
    const { servers, path } = await this.#loadWithServers();
    const names = [...servers.keys()];
    const chosen = name ?? (names.length === 1 ? names[0] : undefined);
    if (chosen === undefined) {
      throw new WalnutError('usage', 'choose a server: several are configured', {
        hint: `Name one of ${names.join(', ')}.`,
      });
    }
    const server = servers.get(chosen);
    if (server !== undefined) return server;
    const { nearest } = await import('../config/nearest.ts');
    const similar = nearest(chosen, names);
    throw new WalnutError('usage', `find server "${chosen}": it is not in the configuration`, {
      hint:
        similar === null
          ? `Configured in ${path ?? 'the environment'}: ${names.join(', ')}.`
          : `Did you mean ${similar}?`,
    });
  }

  async resolveServers(name: string | undefined): Promise<readonly ServerConfiguration[]> {
    if (name !== undefined) return [await this.resolveServer(name)];
    return [...(await this.#loadWithServers()).servers.values()];
  }

  async #loadWithServers(): Promise<Configuration> {
    const configuration = await this.load();
    if (configuration.servers.size > 0) return configuration;
    throw new WalnutError(
      'config',
      `find a server in ${configuration.path ?? 'the environment'}: none is configured`,
      { hint: 'Add [server.NAME] with its connection, or run walnut init.' },
    );
  }
}
