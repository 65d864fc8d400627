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
  /** True when a person can be asked: standard input and error are terminals. */
  readonly interactive: boolean;
};

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
  readonly stdin: { readonly isTTY?: boolean };
};

const COLUMNS_WITHOUT_TERMINAL = 80;

export function createOutput(streams: OutputStreams, options: { readonly json: boolean }): Output {
  const { stdout, stderr, stdin } = streams;
  let bar: ProgressBar | null = null;
  const above = (write: () => void): void => {
    bar?.clear();
    write();
    bar?.draw();
  };
  const print = (text: string): void => above(() => stdout.write(`${text}\n`));
  const terminal: ProgressTerminal | null =
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
      bar = new ProgressBar(terminal, label);
      return bar;
    },
    stopProgress: () => bar?.stop(),
    columns: stdout.columns ?? COLUMNS_WITHOUT_TERMINAL,
    interactive: stdin.isTTY === true && stderr.isTTY === true,
  };
}
