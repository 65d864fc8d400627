import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { Secret } from './secret.ts';

/** Where a password comes from; `key` is the configuration key, for messages. */
export type PasswordSource =
  | { readonly kind: 'value'; readonly key: string; readonly value: Secret }
  | { readonly kind: 'file'; readonly key: string; readonly path: string }
  | { readonly kind: 'command'; readonly key: string; readonly command: string };

/** A password manager that asks the user may take its time; one that hangs must not hang a backup for ever. */
const COMMAND_TIMEOUT_MS = 60_000;
const PASSWORD_BYTES_MAX = 64 * 1024;

const run = promisify(execFile);

/** Reads the password; one trailing line end is not part of it. Throws WalnutError `config`, without any output of the command. */
export async function readPassword(source: PasswordSource): Promise<Secret> {
  const text = await readText(source);
  const password = text.replace(/\r?\n$/, '');
  if (password === '') {
    throw new WalnutError('config', `read the password of ${source.key}: it is empty`, {
      hint: 'The password file, or what the password command prints, must hold the password and nothing else.',
    });
  }
  return new Secret(password);
}

async function readText(source: PasswordSource): Promise<string> {
  if (source.kind === 'value') return source.value.reveal();
  if (source.kind === 'file') return await readPasswordFile(source);
  return await runPasswordCommand(source);
}

async function readPasswordFile(source: { key: string; path: string }): Promise<string> {
  try {
    return await readFile(source.path, 'utf8');
  } catch (error) {
    throw new WalnutError(
      'config',
      `read the password file of ${source.key}: ${messageOf(error)}`,
      {
        hint: `Create ${source.path}, readable by the user that runs Walnut (mode 600).`,
        cause: error,
      },
    );
  }
}

async function runPasswordCommand(source: { key: string; command: string }): Promise<string> {
  try {
    const { stdout } = await run('/bin/sh', ['-c', source.command], {
      timeout: COMMAND_TIMEOUT_MS,
      maxBuffer: PASSWORD_BYTES_MAX,
    });
    return stdout;
  } catch (error) {
    // The error of `execFile` carries the command's output, which may be the secret: only its status is told.
    throw new WalnutError(
      'config',
      `run the password command of ${source.key}: ${statusOf(error)}`,
      {
        hint: 'Run the command by hand as the user that runs Walnut; it must print the password and exit 0.',
      },
    );
  }
}

function statusOf(error: unknown): string {
  const { code, signal, killed } = error as {
    code?: number | string;
    signal?: string;
    killed?: boolean;
  };
  if (killed === true) return `it was stopped after ${COMMAND_TIMEOUT_MS / 1000} s`;
  if (typeof code === 'number') return `it ended with exit code ${code}`;
  return `it ended with ${signal ?? code ?? 'an error'}`;
}
