import { isAbsolute } from 'node:path';
import { cancel, confirm, intro, isCancel, select, text } from '@clack/prompts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { WalMode } from '../config/configuration.ts';
import type { CommandContext } from './context.ts';
import {
  connectionProblem,
  REPOSITORY_DEFAULT,
  SERVER_DEFAULT,
  serverNameProblem,
} from './init-answers.ts';
import type { InitValues } from './init-configuration.ts';

/** Standard output carries the result. */
const output = process.stderr;

/** Asks for what no option gave. */
export async function askForAll(
  values: InitValues,
  path: string,
  { signal }: CommandContext,
): Promise<InitValues> {
  intro(`Walnut: a new configuration, ${path}`, { output });
  const ask = asker(signal);
  const server = values.server ?? (await ask(name()));
  const connection = values.connection ?? (await ask(connectionText()));
  const passwordFile = values.passwordFile ?? (await ask(optionalPath(PASSWORD_FILE)));
  const repository = values.repository ?? (await ask(repositoryFolder()));
  const wal = values.wal ?? (await ask(walMode()));
  const dataDirectory = values.dataDirectory ?? (await ask(optionalPath(DATA_DIRECTORY)));
  const isAgreed = await ask(
    confirm({ message: `Write ${path} and make what is missing?`, output }),
  );
  if (!isAgreed) throw given();
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

function name(): Promise<string | symbol> {
  return text({
    message: 'A name for the server',
    placeholder: SERVER_DEFAULT,
    defaultValue: SERVER_DEFAULT,
    validate: (typed = '') => (typed === '' ? undefined : (serverNameProblem(typed) ?? undefined)),
    output,
  });
}

function connectionText(): Promise<string | symbol> {
  return text({
    message: 'How to reach it, as a URL without a password',
    placeholder: 'postgresql://walnut@db1/postgres',
    validate: (typed = '') =>
      typed === '' ? 'It cannot be left out' : (connectionProblem(typed) ?? undefined),
    output,
  });
}

const PASSWORD_FILE =
  'A file that holds the password (nothing: none is needed, or ~/.pgpass has it)';
const DATA_DIRECTORY =
  'The data directory, if Walnut runs on the database host (nothing: it does not)';

function optionalPath(message: string): Promise<string | symbol> {
  return text({
    message,
    defaultValue: '',
    validate: (typed = '') =>
      typed === '' || isAbsolute(typed) ? undefined : 'Give an absolute path',
    output,
  });
}

function repositoryFolder(): Promise<string | symbol> {
  return text({
    message: 'The folder for backups and WAL, best on another disk or host',
    placeholder: REPOSITORY_DEFAULT,
    defaultValue: REPOSITORY_DEFAULT,
    validate: (typed = '') =>
      typed === '' || isAbsolute(typed) ? undefined : 'Give an absolute path',
    output,
  });
}

function walMode(): Promise<WalMode | symbol> {
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
    output,
  });
}

/** Ctrl-C in a prompt ends the command as it would anywhere else. */
function asker(signal: AbortSignal): <T>(answer: Promise<T | symbol>) => Promise<T> {
  return async (answer) => {
    const value = await answer;
    signal.throwIfAborted();
    if (isCancel(value)) throw given();
    return value as Exclude<typeof value, symbol>;
  };
}

function given(): WalnutError {
  cancel('Nothing was written.', { output });
  return new WalnutError('interrupted', 'init: given up');
}
