import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';

const MODULE = new URL('interruption.ts', import.meta.url).href;

/** A command that notices the abort and ends by itself, or one that never does. */
function command(endsItself: boolean): string {
  return `
    import { listenForSignals } from ${JSON.stringify(MODULE)};
    const { signal, exitCode } = listenForSignals();
    setInterval(() => {}, 1000);
    signal.addEventListener('abort', () => {
      console.log(signal.reason.code + ' ' + signal.reason.message);
      if (${endsItself}) process.exit(exitCode(signal.reason.exitCode));
    });
    console.log('ready');
  `;
}

/** Sends a signal after each line of output and answers how the command ended. */
async function endBy(
  program: string,
  signals: ('SIGINT' | 'SIGTERM' | 'SIGHUP')[],
): Promise<unknown[]> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    lines.push(text.trim());
    const next = signals.shift();
    if (next !== undefined) child.kill(next);
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return [...lines, code ?? signal];
}

describe('listenForSignals', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('lets a command end by itself on %s, with exit code %i', async (name, code) => {
    expect(await endBy(command(true), [name])).toEqual([
      'ready',
      `interrupted interrupted by ${name}`,
      code,
    ]);
  });

  test('kills on the second signal', async () => {
    expect(await endBy(command(false), ['SIGINT', 'SIGTERM'])).toEqual([
      'ready',
      'interrupted interrupted by SIGINT',
      'SIGTERM',
    ]);
  });
});
