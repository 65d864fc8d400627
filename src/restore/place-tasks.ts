import { PlacementWriter, type Placement } from './placement.ts';

/** What a worker does at a time: neighbouring places of the target, in order. */
export type PlaceTask = {
  /** Read by `readPlacements`. */
  readonly placements: Uint8Array<ArrayBuffer>;
};

/** So much that the frames at its ends, which a neighbour opens too, do not matter. */
const TASK_BYTES_MAX: number = 32 * 1024 * 1024;
/** So much that handing out costs nothing. */
const TASK_BYTES_MIN: number = 8 * 1024 * 1024;
/** Per worker: the last ones still spread evenly. */
const TASKS_MIN = 8;
/** Of small files and scattered pages, which take memory for each. */
const TASK_PLACEMENTS: number = 8192;

/** Cuts placements, which come in the order of the target's files, into tasks. */
export class TaskCutter {
  readonly #bytesMax: number;
  #placements = new PlacementWriter();
  #count = 0;
  #contentBytes = 0;

  constructor(totalBytes: number, workers: number) {
    const share = totalBytes / (workers * TASKS_MIN);
    this.#bytesMax = Math.max(TASK_BYTES_MIN, Math.min(TASK_BYTES_MAX, share));
  }

  /** Whether a task is to be taken before more is added. */
  get isFull(): boolean {
    return this.#contentBytes >= this.#bytesMax || this.#count >= TASK_PLACEMENTS;
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
    this.#placements = new PlacementWriter();
    this.#count = 0;
    this.#contentBytes = 0;
    return { placements };
  }
}
