import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { listenForSignals } from './interruption.ts';
import { createOutput, type Output } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

const PACKAGE_ROOT = fileURLToPath(new URL('../..', import.meta.url));

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
