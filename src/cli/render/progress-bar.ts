import { renderBytes, renderDuration, renderRate } from './units.ts';

export type ProgressState = {
  readonly label: string;
  readonly doneBytes: number;
  /** Null while it is not known. */
  readonly totalBytes: number | null;
  readonly elapsedMs: number;
  /** Over the last seconds; null in the beginning. */
  readonly bytesPerSecond: number | null;
};

export type ProgressTerminal = {
  readonly write: (text: string) => void;
  readonly columns: () => number;
};

/** Ten pictures a second look smooth; more would cost time that compression needs. */
const REDRAW_MS = 100;
const RATE_WINDOW_MS = 5000;
const BAR_COLUMNS_MIN = 8;
const BAR_COLUMNS_MAX = 40;
const CLEAR_LINE = '\r\u001B[K';

/** One line, at most `columns` wide: the bar gives way first, then the figures from the right. */
export function renderProgressLine(state: ProgressState, columns: number): string {
  const figures = figuresOf(state);
  while (figures.length > 1 && lengthOf(state.label, figures) > columns) figures.pop();
  const text = [state.label, ...figures].join('  ');
  const room = columns - text.length - 4;
  const fraction = fractionOf(state);
  if (fraction === null || room < BAR_COLUMNS_MIN) return text.slice(0, columns);
  const width = Math.min(room, BAR_COLUMNS_MAX);
  const full = Math.round(width * fraction);
  const bar = `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`;
  return [state.label, bar, ...figures].join('  ');
}

function figuresOf(state: ProgressState): string[] {
  const { doneBytes, totalBytes, bytesPerSecond, elapsedMs } = state;
  const fraction = fractionOf(state);
  const figures: string[] = [];
  if (fraction !== null) figures.push(`${String(Math.floor(fraction * 100)).padStart(3)} %`);
  figures.push(
    totalBytes === null
      ? renderBytes(doneBytes)
      : `${renderBytes(doneBytes)} of ${renderBytes(totalBytes)}`,
  );
  if (bytesPerSecond !== null && bytesPerSecond > 0) {
    figures.push(renderRate(bytesPerSecond));
    if (totalBytes !== null) {
      const leftMs = (Math.max(0, totalBytes - doneBytes) / bytesPerSecond) * 1000;
      figures.push(`${renderDuration(Math.max(1000, leftMs))} left`);
    }
  } else figures.push(renderDuration(elapsedMs));
  return figures;
}

function fractionOf({ doneBytes, totalBytes }: ProgressState): number | null {
  if (totalBytes === null) return null;
  return totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
}

function lengthOf(label: string, figures: readonly string[]): number {
  return [label, ...figures].join('  ').length;
}

type Sample = { readonly atMs: number; readonly doneBytes: number };

/** Draws the line of one operation on a terminal and takes it away at the end; without a terminal it does nothing. */
export class ProgressBar {
  readonly #terminal: ProgressTerminal | null;
  readonly #nowMs: () => number;
  readonly #startedMs: number;
  #label: string;
  #doneBytes = 0;
  #totalBytes: number | null = null;
  #samples: Sample[] = [];
  #drawnMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(
    terminal: ProgressTerminal | null,
    label: string,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#terminal = terminal;
    this.#label = label;
    this.#nowMs = nowMs;
    this.#startedMs = nowMs();
    this.draw();
  }

  update(doneBytes: number, totalBytes: number | null): void {
    const atMs = this.#nowMs();
    this.#doneBytes = doneBytes;
    this.#totalBytes = totalBytes;
    if (this.#terminal === null || atMs - this.#drawnMs < REDRAW_MS) return;
    this.#samples.push({ atMs, doneBytes });
    this.#samples = this.#samples.filter((sample) => atMs - sample.atMs <= RATE_WINDOW_MS);
    this.draw();
  }

  /** Changes what the line says it is doing. */
  relabel(label: string): void {
    this.#label = label;
    this.draw();
  }

  draw(): void {
    if (this.#terminal === null || this.#stopped) return;
    this.#drawnMs = this.#nowMs();
    const state: ProgressState = {
      label: this.#label,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      elapsedMs: this.#drawnMs - this.#startedMs,
      bytesPerSecond: this.#rate(),
    };
    // The last column stays empty: writing into it makes some terminals wrap.
    this.#terminal.write(CLEAR_LINE + renderProgressLine(state, this.#terminal.columns() - 1));
  }

  clear(): void {
    if (this.#terminal !== null && !this.#stopped) this.#terminal.write(CLEAR_LINE);
  }

  /** Takes the line away; further updates draw nothing. */
  stop(): void {
    this.clear();
    this.#stopped = true;
  }

  #rate(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < 500) return null;
    return ((last.doneBytes - first.doneBytes) / (last.atMs - first.atMs)) * 1000;
  }
}
