/** The configuration file that `init` writes, and never changes. */
import { existsSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServerConfiguration, WalMode } from '../config/configuration.ts';
import { findConfigurationPath } from '../config/source.ts';
import { renderConfigurationFile, type TemplateValues } from '../config/template.ts';
import { syncFolder } from '../lib/durable-file.ts';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import type { CommandContext } from './context.ts';

export type InitValues = {
  readonly server: string | undefined;
  readonly connection: string | undefined;
  readonly passwordFile: string | undefined;
  /** A folder, or a `file://` URL. */
  readonly repository: string | undefined;
  readonly dataDirectory: string | undefined;
  readonly wal: WalMode | undefined;
  readonly spoolDirectory: string | undefined;
  readonly newIncarnation: boolean;
  readonly yes: boolean;
};

/** It may hold a password in the connection string. */
const CONFIGURATION_MODE = 0o600;

/** The configuration in force, or the path at which one is to be written. */
export function existingConfiguration({
  configPath,
  environment,
}: Pick<CommandContext, 'configPath' | 'environment'>): { path: string; isThere: boolean } {
  const workingDirectory = process.cwd();
  const found = findConfigurationPath({ configPath, environment, workingDirectory });
  const isInEnvironment = Object.keys(environment).some((name) =>
    name.startsWith('WALNUT_SERVER_'),
  );
  if (found === null && isInEnvironment) return { path: 'the environment', isThere: true };
  const path = found ?? resolve(workingDirectory, 'walnut.toml');
  return { path, isThere: existsSync(path) };
}

/** Writes the file unless there is one: whoever was faster wins. */
export async function writeConfiguration(path: string, values: TemplateValues): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const handle = await open(path, 'wx', CONFIGURATION_MODE);
    try {
      await handle.writeFile(renderConfigurationFile(values));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncFolder(dirname(path));
  } catch (error) {
    throw new WalnutError('config', `write configuration ${path}: ${messageOf(error)}`, {
      hint: 'Name a file that you may write with --config.',
      cause: error,
    });
  }
}

/** Options that ask for something else than the configuration in place are refused, never ignored. */
export function refuseChanges(values: InitValues, server: ServerConfiguration, path: string): void {
  const present: readonly (readonly [string, string | undefined, string | null])[] = [
    ['--connection', values.connection, server.connection.reveal()],
    ['--repository', folderOf(values.repository), server.repository.path],
    ['--data-directory', values.dataDirectory, server.dataDirectory],
    ['--wal', values.wal, server.wal],
    ['--spool-directory', values.spoolDirectory, server.spoolDirectory],
    [
      '--password-file',
      values.passwordFile,
      server.password?.kind === 'file' ? server.password.path : null,
    ],
  ];
  for (const [option, asked, inForce] of present) {
    if (asked === undefined || asked === inForce) continue;
    throw new WalnutError('config', `option ${option}: ${path} is in place and says otherwise`, {
      hint: 'init never changes a configuration: edit the file, or leave the option out.',
    });
  }
}

function folderOf(repository: string | undefined): string | undefined {
  return repository?.startsWith('file://') === true ? fileURLToPath(repository) : repository;
}
