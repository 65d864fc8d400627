import { execFile } from 'node:child_process';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { spawnIdentity, type SystemUser } from './unprivileged-user.ts';

export type RunProgramOptions = {
  readonly user?: SystemUser | undefined;
  readonly folder?: string;
  readonly timeoutMs: number;
};

/** `initdb` prints some kilobytes; a program that prints more than this is not the one we mean. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
const TAIL_LINES = 20;

/** What a temporary server and its tools see of our environment: no `PG*` variable, and messages in English. */
export function serverEnvironment(folder: string): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: folder,
    LC_ALL: 'C',
    ...(process.env['TZ'] === undefined ? {} : { TZ: process.env['TZ'] }),
  };
}

/** Runs a program of PostgreSQL to its end and answers its standard output; any other exit code than 0 throws. */
export async function runProgram(
  path: string,
  args: readonly string[],
  options: RunProgramOptions,
): Promise<string> {
  const folder = options.folder ?? '/';
  return await new Promise((fulfil, reject) => {
    execFile(
      path,
      args,
      {
        cwd: folder,
        env: serverEnvironment(folder),
        timeout: options.timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: OUTPUT_BYTES_MAX,
        ...(options.user === undefined ? {} : spawnIdentity(options.user)),
      },
      (error, stdout, stderr) => {
        if (error === null) return fulfil(stdout);
        const output = tail(`${stdout}${stderr}`);
        reject(
          new WalnutError('postgresql', `run ${path}: ${output || messageOf(error)}`, {
            cause: error,
          }),
        );
      },
    );
  });
}

/** The last lines of a program's output, enough to see why it failed. */
export function tail(text: string, lines: number = TAIL_LINES): string {
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}
