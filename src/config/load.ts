import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WalnutError } from '../lib/walnut-error.ts';
import type {
  Configuration,
  InactiveKey,
  RepositoryConfiguration,
  ServerConfiguration,
} from './configuration.ts';
import { namedSections, refuseUnknownVariables, type NamedSection } from './named-sections.ts';
import { DAEMON_OPTIONS, REPOSITORY_OPTIONS, SERVER_OPTIONS } from './options.ts';
import { buildServer } from './server-configuration.ts';
import { readSection, validateSection, type Validated } from './settings.ts';
import {
  configurationError,
  findConfigurationPath,
  readConfigurationFile,
  type ConfigurationFile,
  type Origin,
} from './source.ts';

export type LoadOptions = {
  /** `--config` as given. */
  readonly configPath: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  /** Default: the process's. */
  readonly workingDirectory?: string;
};

/**
 * Finds, reads and validates the configuration. Throws WalnutError `config` that names the key, the file with line and
 * column (or the environment variable), and the nearest known key.
 */
export function loadConfiguration(options: LoadOptions): Configuration {
  const { environment, workingDirectory = process.cwd() } = options;
  const path = findConfigurationPath({ ...options, workingDirectory });
  const file = path === null ? null : readConfigurationFile(path);
  const inactive: InactiveKey[] = [];
  if (file !== null) readDaemon(file, inactive);
  const repositories = new Map<string, RepositoryConfiguration>();
  for (const section of namedSections('repository', { file, environment })) {
    repositories.set(section.name, readRepository(section));
  }
  const servers = new Map<string, ServerConfiguration>();
  const folder = path === null ? workingDirectory : dirname(path);
  for (const section of namedSections('server', { file, environment })) {
    const validated = validateSection(SERVER_OPTIONS, section.settings, {
      title: `[server.${section.name}]`,
      origin: section.origin,
    });
    noteInactive(validated, { prefix: `server.${section.name}`, table: SERVER_OPTIONS, inactive });
    servers.set(
      section.name,
      buildServer(section, validated, {
        repositories,
        toAbsolute: (text, origin) =>
          resolve(origin.kind === 'file' ? folder : workingDirectory, text),
      }),
    );
  }
  refuseUnknownVariables(environment, {
    server: [...servers.keys()],
    repository: [...repositories.keys()],
  });
  if (path === null && servers.size === 0) throw nothingConfigured();
  return { path, repositories, servers, inactive };
}

function readRepository(section: NamedSection): RepositoryConfiguration {
  const { name } = section;
  const { values, origins } = validateSection(REPOSITORY_OPTIONS, section.settings, {
    title: `[repository.${name}]`,
    origin: section.origin,
  });
  const path = repositoryPath(values.url, origins.get('url') ?? section.origin);
  return { name, url: `file://${path}`, path };
}

/** The folder that a `file://` URL names; every other store is refused by name. */
function repositoryPath(url: string, origin: Origin): string {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    const hint = `Write a URL, such as file://${isAbsolute(url) ? url : join('/', url)}.`;
    throw configurationError(origin, `"url" = ${JSON.stringify(url)} is not a URL`, hint);
  }
  if (scheme !== 'file') {
    throw configurationError(
      origin,
      `repositories at ${scheme}:// are not built yet`,
      'Use a folder: file:///absolute/path.',
    );
  }
  try {
    const path = fileURLToPath(url);
    return path.length > 1 ? path.replace(/\/+$/, '') || '/' : path;
  } catch {
    throw configurationError(
      origin,
      `"url" = ${JSON.stringify(url)} names no folder of this host`,
      'Write three slashes: file:///absolute/path.',
    );
  }
}

function readDaemon(file: ConfigurationFile, inactive: InactiveKey[]): void {
  if (!('daemon' in file.values)) return;
  const options = { kind: 'daemon', keys: Object.keys(DAEMON_OPTIONS) } as const;
  const settings = readSection(file, ['daemon'], options);
  const origin: Origin = { kind: 'file', file, path: ['daemon'] };
  const validated = validateSection(DAEMON_OPTIONS, settings, { title: '[daemon]', origin });
  noteInactive(validated, { prefix: 'daemon', table: DAEMON_OPTIONS, inactive });
}

function noteInactive(
  validated: Validated<unknown>,
  noting: {
    readonly prefix: string;
    readonly table: Readonly<Record<string, { readonly inactive?: string }>>;
    readonly inactive: InactiveKey[];
  },
): void {
  for (const key of validated.origins.keys()) {
    const reason = noting.table[key]?.inactive;
    if (reason !== undefined) noting.inactive.push({ key: `${noting.prefix}.${key}`, reason });
  }
}

function nothingConfigured(): WalnutError {
  return new WalnutError('config', 'find the configuration: there is none', {
    hint: 'Run walnut init to write one. Walnut looks for --config, $WALNUT_CONFIG, ./walnut.toml and /etc/walnut/walnut.toml.',
  });
}
