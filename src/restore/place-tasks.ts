import { PlacementWriter, type Placement } from './placement.ts';

/** What a worker does at a time: neighbouring places of the target, in order. */
export type PlaceTask = {
  /** Read by `readPlacements`. */
  readonly placements: Uint8Array<ArrayBuffer>;
};

/**
 * So much that the frames at its ends, which a neighbour opens too, do not matter: one of an incremental backup of 1 % has
 * pages of 25 MB of the target, and a chain has many.
 */
const TASK_BYTES_MAX: number = 256 * 1024 * 1024;
/** Of the first ones, for which all workers wait; later ones are at most a worker's share of what was handed out. */
const TASK_BYTES_FIRST: number = 32 * 1024 * 1024;
/** So much that handing out costs nothing. */
const TASK_BYTES_MIN: number = 4 * 1024 * 1024;
/** Per worker, of what is left: tasks become small towards the end, so that no worker waits long for the last ones. */
const TASKS_LEFT = 3;
/** Of small files and scattered pages, which take memory for each. */
const TASK_PLACEMENTS: number = 8192;

/** Cuts placements, which come in the order of the target's files, into tasks. */
export class TaskCutter {
  readonly #workers: number;
  /** About how much is to come. */
  #leftBytes: number;
  #handedBytes = 0;
  #placements = new PlacementWriter();
  #count = 0;
  #contentBytes = 0;

  constructor(totalBytes: number, workers: number) {
    this.#leftBytes = totalBytes;
    this.#workers = workers;
  }

  /** Whether a task is to be taken before more is added. */
  get isFull(): boolean {
    const grown = Math.max(TASK_BYTES_FIRST, this.#handedBytes / this.#workers);
    const share = this.#leftBytes / (this.#workers * TASKS_LEFT);
    const bytesMax = Math.max(TASK_BYTES_MIN, Math.min(TASK_BYTES_MAX, grown, share));
    return this.#contentBytes >= bytesMax || this.#count >= TASK_PLACEMENTS;
  }

  add(placement: Placement): void {
    this.#placements.add(placement);
    this.#count += 1;
    this.#contentBytes += placement.bytes;
  }

  /** What was added since the last one; null when that is nothing. */
  take(): PlaceTask | null {
    if (this.#count === 0) return null;
    const placements = this.#placements.finish();
    this.#leftBytes -= this.#contentBytes;
    this.#handedBytes += this.#contentBytes;
    this.#placements = new PlacementWriter();
    this.#count = 0;
    this.#contentBytes = 0;
    return { placements };
  }
}
