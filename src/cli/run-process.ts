import { PACKAGE_ROOT } from '../lib/package-root.ts';
import { ERROR_CODES } from '../lib/walnut-error.ts';
import { listenForSignals } from './interruption.ts';
import { productVersion } from './product-version.ts';
import { createOutput, type Output, type OutputStreams } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

const EXIT_SIGPIPE = 141;

/** Runs the command line of this process and ends the process with its exit code. */
export async function runProcess(): Promise<void> {
  const words = process.argv.slice(2);
  const interruption = listenForSignals();
  endWhenOutputFails();
  const exitCode = await runCommandLine(words, {
    signal: interruption.signal,
    environment: process.env,
    packageRoot: PACKAGE_ROOT,
    version: productVersion(PACKAGE_ROOT),
    now: () => new Date(),
    createOutput: (json): Output => createOutput(outputStreams(), { json }),
  });
  await outputWritten();
  // Not `process.exitCode`: a socket or worker left open would keep the command from ending.
  process.exit(interruption.exitCode(exitCode));
}

/** A person can be asked when standard input and error are terminals. */
function outputStreams(): OutputStreams {
  const { stdin, stdout, stderr } = process;
  const isTerminal = stdin.isTTY && stderr.isTTY;
  return { stdout, stderr, ...(isTerminal ? { terminal: { input: stdin, output: stderr } } : {}) };
}

/**
 * `walnut list | head` closes our output early: that ends the command as SIGPIPE would. A result that cannot be written
 * is a failure. Neither may end with 0, which tells PostgreSQL that WAL is safe. Notes that nobody reads any more are
 * no reason to stop.
 */
function endWhenOutputFails(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_SIGPIPE);
    process.stderr.write(`walnut: write to standard output: ${error.message}\n`);
    process.exit(ERROR_CODES.failed);
  });
  process.stderr.on('error', () => {});
}

/** Resolves when everything printed has left the process; a failure is reported before. */
async function outputWritten(): Promise<void> {
  await new Promise((resolve) => {
    process.stdout.write('', () => setImmediate(resolve));
  });
}
