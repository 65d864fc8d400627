import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { WalnutError } from '../lib/walnut-error.ts';
import { createOutput, type Output } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const PACKAGE_ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EXIT_SIGNAL_BASE = 128;

/** Runs the command line of this process and ends the process with its exit code. */
export async function runProcess(): Promise<void> {
  const words = process.argv.slice(2);
  const interruption = listenForSignals();
  leaveWhenReaderLeaves();
  const exitCode = await runCommandLine(words, {
    signal: interruption.signal,
    environment: process.env,
    packageRoot: PACKAGE_ROOT,
    version: readVersion(),
    now: () => new Date(),
    createOutput: (json): Output => createOutput(process, { json }),
  });
  // Not `process.exitCode`: a socket or worker left open would keep the command from ending.
  process.exit(interruption.exitCode(exitCode));
}

type Interruption = { readonly signal: AbortSignal; readonly exitCode: (code: number) => number };

/** The first signal asks the command to end, the second one kills. */
function listenForSignals(): Interruption {
  const controller = new AbortController();
  let received: (typeof SIGNALS)[number] | null = null;
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (received !== null) {
        for (const each of SIGNALS) process.removeAllListeners(each);
        process.kill(process.pid, name);
        return;
      }
      received = name;
      if (process.stderr.isTTY) process.stderr.write('\nstopping; press Ctrl-C again to kill\n');
      controller.abort(
        new WalnutError('interrupted', `interrupted by ${name}`, {
          hint: 'Nothing half done is listed as a backup; run the command again when you like.',
        }),
      );
    });
  }
  const exitCode = (code: number): number => {
    if (received === null || code !== EXIT_SIGNAL_BASE + constants.signals.SIGINT) return code;
    return EXIT_SIGNAL_BASE + constants.signals[received];
  };
  return { signal: controller.signal, exitCode };
}

/** `walnut list | head` closes our output early: that is no failure of ours to report. */
function leaveWhenReaderLeaves(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
}

function readVersion(): string {
  const text = readFileSync(`${PACKAGE_ROOT}package.json`, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
