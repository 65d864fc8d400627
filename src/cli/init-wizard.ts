import { isAbsolute } from 'node:path';
import { cancel, confirm, intro, isCancel, select, text } from '@clack/prompts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { WalMode } from '../config/configuration.ts';
import {
  connectionProblem,
  REPOSITORY_DEFAULT,
  SERVER_DEFAULT,
  serverNameProblem,
} from './init-answers.ts';
import type { InitValues } from './init-configuration.ts';
import type { Terminal } from './render/output.ts';

export type Asking = { readonly terminal: Terminal; readonly signal: AbortSignal };

/** Asks for what no option gave. */
export async function askForAll(
  values: InitValues,
  path: string,
  asking: Asking,
): Promise<InitValues> {
  const { terminal } = asking;
  intro(`Walnut: a new configuration, ${path}`, terminal);
  const ask = asker(asking);
  const server = values.server ?? (await ask(name(terminal)));
  const connection = values.connection ?? (await ask(connectionText(terminal)));
  const passwordFile = values.passwordFile ?? (await ask(optionalPath(terminal, PASSWORD_FILE)));
  const repository = values.repository ?? (await ask(repositoryFolder(terminal)));
  const wal = values.wal ?? (await ask(walMode(terminal)));
  const dataDirectory = values.dataDirectory ?? (await ask(optionalPath(terminal, DATA_DIRECTORY)));
  const isAgreed = await ask(
    confirm({ message: `Write ${path} and make what is missing?`, ...terminal }),
  );
  if (!isAgreed) throw given(terminal);
  return {
    ...values,
    server,
    connection,
    passwordFile: passwordFile || undefined,
    repository,
    wal,
    dataDirectory: dataDirectory || undefined,
  };
}

function name(terminal: Terminal): Promise<string | symbol> {
  return text({
    message: 'A name for the server',
    placeholder: SERVER_DEFAULT,
    defaultValue: SERVER_DEFAULT,
    validate: (typed = '') => (typed === '' ? undefined : (serverNameProblem(typed) ?? undefined)),
    ...terminal,
  });
}

function connectionText(terminal: Terminal): Promise<string | symbol> {
  return text({
    message: 'How to reach it, as a URL without a password',
    placeholder: 'postgresql://walnut@db1/postgres',
    validate: (typed = '') =>
      typed === '' ? 'It cannot be left out' : (connectionProblem(typed) ?? undefined),
    ...terminal,
  });
}

const PASSWORD_FILE =
  'A file that holds the password (nothing: none is needed, or ~/.pgpass has it)';
const DATA_DIRECTORY =
  'The data directory, if Walnut runs on the database host (nothing: it does not)';

function optionalPath(terminal: Terminal, message: string): Promise<string | symbol> {
  return text({
    message,
    defaultValue: '',
    validate: (typed = '') =>
      typed === '' || isAbsolute(typed) ? undefined : 'Give an absolute path',
    ...terminal,
  });
}

function repositoryFolder(terminal: Terminal): Promise<string | symbol> {
  return text({
    message: 'The folder for backups and WAL, best on another disk or host',
    placeholder: REPOSITORY_DEFAULT,
    defaultValue: REPOSITORY_DEFAULT,
    validate: (typed = '') =>
      typed === '' || isAbsolute(typed) ? undefined : 'Give an absolute path',
    ...terminal,
  });
}

function walMode(terminal: Terminal): Promise<WalMode | symbol> {
  return select<WalMode>({
    message: 'How WAL comes in',
    options: [
      {
        value: 'stream',
        label: 'streaming',
        hint: 'a replication slot; nothing to set on the server',
      },
      {
        value: 'archive',
        label: 'archive_command',
        hint: 'the server runs Walnut for each segment',
      },
      { value: 'both', label: 'both', hint: 'each checks the other' },
    ],
    ...terminal,
  });
}

/** Ctrl-C in a prompt ends the command as it would anywhere else. */
function asker({ terminal, signal }: Asking): <T>(answer: Promise<T | symbol>) => Promise<T> {
  return async (answer) => {
    const value = await answer;
    signal.throwIfAborted();
    if (isCancel(value)) throw given(terminal);
    return value as Exclude<typeof value, symbol>;
  };
}

function given(terminal: Terminal): WalnutError {
  cancel('Nothing was written.', terminal);
  return new WalnutError('interrupted', 'init: given up');
}
