import type { Configuration, ServerConfiguration } from '../config/configuration.ts';
import type { Output } from './render/output.ts';

/** What every command is given besides its own arguments and options. */
export type CommandContext = {
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP; its reason is a WalnutError `interrupted`. The second one kills. */
  readonly signal: AbortSignal;
  /** True with `--json`. */
  readonly json: boolean;
  readonly output: Output;
  /** `--config` as given. */
  readonly configPath: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly now: () => Date;
  /** The folder of the installed package; `bin/` lies in it. */
  readonly packageRoot: string;
  /** Finds, reads and validates the configuration; the same value however often it is called. */
  readonly loadConfiguration: () => Promise<Configuration>;
  /**
   * The server of that name, or the only one when the name is left out. Throws WalnutError `usage` with the nearest
   * known name, or with all of them when the choice is open.
   */
  readonly resolveServer: (name: string | undefined) => Promise<ServerConfiguration>;
  /** The named server alone, or all of them. */
  readonly resolveServers: (name: string | undefined) => Promise<readonly ServerConfiguration[]>;
};
