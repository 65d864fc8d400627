import type { Readable, Writable } from 'node:stream';
import { ProgressBar, type ProgressTerminal } from './progress-bar.ts';

/** Where commands print. Standard output carries results, standard error notes and progress. */
export type Output = {
  /** A line of a long-running command: the JSON document with `--json`, else the text. */
  readonly event: (document: object, text: string) => void;
  /** A line for people on standard error, also with `--json`. */
  readonly note: (text: string) => void;
  /** A progress bar on standard error; draws nothing with `--json` or without a terminal. Stop it before printing. */
  readonly startProgress: (label: string) => ProgressBar;
  /** Takes away the bar of an operation that ended early. */
  readonly stopProgress: () => void;
  /** Writes to standard output, adding the line end. */
  readonly print: (text: string) => void;
  /** Width of the terminal; 80 when there is none. */
  readonly columns: number;
  /** Where a person can be asked; null where there is none. */
  readonly terminal: Terminal | null;
};

/** Standard output carries the result, so questions go to standard error. */
export type Terminal = { readonly input: Readable; readonly output: Writable };

export type OutputStreams = {
  readonly stdout: {
    write(text: string): unknown;
    readonly isTTY?: boolean;
    readonly columns?: number;
  };
  readonly stderr: {
    write(text: string): unknown;
    readonly isTTY?: boolean;
    readonly columns?: number;
  };
  /** Left out where nobody can be asked. */
  readonly terminal?: Terminal | undefined;
};

const COLUMNS_WITHOUT_TERMINAL = 80;

export function createOutput(streams: OutputStreams, options: { readonly json: boolean }): Output {
  const { stdout, stderr } = streams;
  let bar: ProgressBar | null = null;
  const above = (write: () => void): void => {
    bar?.clear();
    write();
    bar?.draw();
  };
  const print = (text: string): void => above(() => stdout.write(`${text}\n`));
  const progress: ProgressTerminal | null =
    stderr.isTTY === true && !options.json
      ? {
          write: (text) => void stderr.write(text),
          columns: () => stderr.columns ?? COLUMNS_WITHOUT_TERMINAL,
        }
      : null;
  return {
    print,
    event: (document, text) => print(options.json ? JSON.stringify(document) : text),
    note: (text) => above(() => stderr.write(`${text}\n`)),
    startProgress: (label) => {
      bar?.stop();
      bar = new ProgressBar(progress, label);
      return bar;
    },
    stopProgress: () => bar?.stop(),
    columns: stdout.columns ?? COLUMNS_WITHOUT_TERMINAL,
    terminal: streams.terminal ?? null,
  };
}
