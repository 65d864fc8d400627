import { pathToFileURL } from 'node:url';
import type { TemplateValues } from '../config/template.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { parseConnectionString } from '../postgres/connection/connection-string.ts';
import { isServerName } from '../repository/layout.ts';
import type { CommandContext } from './context.ts';
import type { InitValues } from './init-configuration.ts';

export const SERVER_DEFAULT = 'main';
export const REPOSITORY_DEFAULT = '/var/lib/walnut';

/** What the new configuration is to hold: from options, and from a person where there is one to ask. */
export async function answersOf(
  values: InitValues,
  path: string,
  context: CommandContext,
): Promise<TemplateValues> {
  const { output, json, signal } = context;
  const { terminal } = output;
  const answered =
    terminal === null || json || values.yes
      ? values
      : await (await import('./init-wizard.ts')).askForAll(values, path, { terminal, signal });
  const { connection } = answered;
  if (connection === undefined) {
    throw new WalnutError('usage', 'init: it is not said how to reach the server', {
      hint: 'Give --connection postgresql://walnut@HOST/postgres, or run walnut init on a terminal to be asked.',
    });
  }
  const server = answered.server ?? SERVER_DEFAULT;
  const problem = serverNameProblem(server) ?? connectionProblem(connection);
  if (problem !== null) throw new WalnutError('usage', `init: ${problem}`);
  if (holdsPassword(connection)) {
    output.note(
      `The connection holds a password, which ${path} now keeps (mode 600). --password-file keeps it apart.`,
    );
  }
  return {
    repository: { name: 'main', url: urlOf(answered.repository ?? REPOSITORY_DEFAULT) },
    server: {
      name: server,
      connection,
      passwordFile: answered.passwordFile ?? null,
      dataDirectory: answered.dataDirectory ?? null,
      wal: answered.wal ?? 'stream',
      spoolDirectory: answered.spoolDirectory ?? null,
    },
  };
}

/** Why a name cannot be a server's; null when it can. */
export function serverNameProblem(name: string): string | null {
  if (isServerName(name)) return null;
  return `"${name}" cannot name a server: small letters, digits, - and _, at most 63, beginning with a letter or digit`;
}

/** Why a connection cannot be understood; null when it can. */
export function connectionProblem(connection: string): string | null {
  try {
    parseConnectionString(connection);
    return null;
  } catch (error) {
    if (!(error instanceof WalnutError)) throw error;
    return error.message;
  }
}

function holdsPassword(connection: string): boolean {
  return (parseConnectionString(connection).get('password') ?? '') !== '';
}

function urlOf(repository: string): string {
  return repository.startsWith('file://') ? repository : pathToFileURL(repository).href;
}
