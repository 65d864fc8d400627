import { must } from '../lib/assert.ts';
import { blake3 } from '../lib/hashing.ts';
import { openIndexedFrame } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { BufferPool } from './buffer-pool.ts';
import { explainDamage } from './damaged-parts.ts';
import { FrameShelf } from './frame-shelf.ts';
import type { TableFrame } from './frame-table.ts';
import { PackIndexes } from './pack-indexes.ts';
import { PLACED_BYTES, type PlaceWorkerSetup } from './place-protocol.ts';
import type { PlaceTask } from './place-tasks.ts';
import { readPlacements, ZERO_PAGES, type Placement } from './placement.ts';
import { PresentContent } from './present-content.ts';
import { RangeShelf, type PackBytes } from './range-shelf.ts';
import { StretchWriter } from './stretch-writer.ts';
import { contentDiffers, TargetFiles } from './target-files.ts';
import {
  NO_RANGE,
  rangesOf,
  stepsOf,
  stepsOverFrame,
  type Step,
  type TaskSteps,
  type WantedFrame,
} from './task-steps.ts';

/** Longest single pause for a rate limit, so that progress stays visible. */
const PAUSE_MS_MAX = 1000;

/** One task, and what it needs of the repository, on its way. */
type Work = { readonly task: TaskSteps; readonly ranges: RangeShelf };

export type Placed = {
  /** Bytes read from the repository. */
  readonly readBytes: number;
  readonly written: Promise<void>;
};

/**
 * What a place worker does, apart from talking to its parent. It goes through its part of the target from the first block
 * to the last, and takes each stretch from whichever backup of the chain holds it: so the target is written in long
 * stretches however scattered the changes of a chain are (docs/decisions/2026-11-26-restore-in-target-order.md).
 */
export class PlaceEngine {
  readonly #store: ObjectStore;
  readonly #setup: PlaceWorkerSetup;
  readonly #files: TargetFiles;
  readonly #stretches: StretchWriter;
  readonly #indexes: PackIndexes;
  readonly #pool = new BufferPool();
  readonly #frames = new FrameShelf(this.#pool);
  readonly #placedBytes: BigInt64Array;
  readonly #startedMs: number = performance.now();
  #present: PresentContent | null = null;

  constructor(store: ObjectStore, setup: PlaceWorkerSetup) {
    this.#store = store;
    this.#setup = setup;
    this.#files = new TargetFiles(setup.locations);
    this.#stretches = new StretchWriter(this.#files);
    this.#indexes = new PackIndexes(store, { pageHashes: setup.keepPresent });
    this.#placedBytes = new BigInt64Array(setup.placedBytes);
  }

  /** Reads the indexes that the first task would wait for; what fails here is met and explained there. */
  async lookAhead(): Promise<void> {
    await this.#indexes.read(this.#setup.packs, (error) => error).catch(() => undefined);
  }

  /** One task after the other; the next one may begin while what this one filled last is still being written. */
  async place({ placements: encoded }: PlaceTask): Promise<Placed> {
    const placements = readPlacements(encoded);
    if (placements.some(({ compare }) => compare)) {
      this.#present ??= await PresentContent.create(this.#files);
    }
    const task = await this.#stepsOf(placements);
    const absent = task.frames.filter((wanted) => this.#opened(wanted) === null);
    const ranges = new RangeShelf(this.#store, rangesOf(absent), this.#pool);
    try {
      await this.#place({ task, ranges });
    } finally {
      await ranges.close();
    }
    const { written } = await this.#stretches.flush();
    return { readBytes: ranges.readBytes, written };
  }

  async #stepsOf(placements: readonly Placement[]): Promise<TaskSteps> {
    const packs = new Set(placements.map(({ pack }) => pack));
    packs.delete(ZERO_PAGES);
    const indexes = await this.#indexes.read([...packs], (error, pack) =>
      explainDamage(
        error,
        `pack ${pack}`,
        placements.filter((placement) => placement.pack === pack),
      ),
    );
    return stepsOf(placements, indexes, (placement, frame) => this.#missing(placement, frame));
  }

  async #place(work: Work): Promise<void> {
    const { steps } = work.task;
    for (let index = 0; index < steps.length;) {
      const overFrame = await this.#placeFrame(work, index);
      if (overFrame === 0) await this.#placePart(work, index);
      index += Math.max(overFrame, 1);
      this.#keepRate();
    }
  }

  /**
   * Opens a frame straight to where it is written from, and lays over it what later backups have; answers how many steps
   * that were, 0 when it cannot be done.
   */
  async #placeFrame(work: Work, first: number): Promise<number> {
    const { steps } = work.task;
    const count = stepsOverFrame(steps, first);
    const { placement, wanted } = steps[first] ?? {};
    if (count === 0 || !placement || !wanted || placement.hash !== null) return 0;
    if (this.#opened(wanted) !== null) return 0;
    const bytes = wanted.frame.plainBytes;
    const stored = await takeStored(work, wanted);
    const room = await this.#stretches.room({ ...placement, bytes }, false);
    if (room === null) return 0;
    openFrame(work, wanted, { stored, into: room });
    await this.#layOver(work, steps.slice(first, first + count), room);
    this.#count('written', bytes);
    await this.#stretches.filled(bytes);
    return count;
  }

  /** Lays over the frame in `room`, which is that of the first step, what these steps have of other frames. */
  async #layOver(work: Work, steps: readonly Step[], room: Uint8Array): Promise<void> {
    const { placement, wanted } = must(steps[0], 'a frame has steps');
    for (const step of steps) {
      if (step.wanted !== wanted) {
        // Waited for only where a frame has to be opened: mostly it was, for a page before.
        const content = this.#contentAtHand(step) ?? (await this.#contentOf(work, step));
        room.set(content, step.placement.fileOffset - placement.fileOffset);
      }
      this.#used(step);
    }
  }

  async #placePart(work: Work, index: number): Promise<void> {
    const { steps } = work.task;
    const step = must(steps[index], 'a step');
    if (step.wanted === null) {
      this.#clear(step.placement);
      return;
    }
    const isFollowed = continues(steps[index + 1]?.placement, step.placement);
    const content = await this.#contentOf(work, step);
    await this.#stretches.write(step.placement, content, isFollowed);
    this.#count('written', step.placement.bytes);
    this.#used(step);
  }

  /** Valid until the next frame is opened. */
  async #contentOf(work: Work, { placement, wanted }: Step): Promise<Uint8Array> {
    const { hash, path } = placement;
    const frame = must(wanted, 'content lies in a frame');
    const plain = this.#opened(frame) ?? (await this.#openOnShelf(work, frame));
    const content = partOf(plain, placement);
    if (hash !== null && !blake3(content).equals(hash)) throw contentDiffers(path);
    return content;
  }

  /** As {@link #contentOf}, where nothing has to be opened or hashed. */
  #contentAtHand({ placement, wanted }: Step): Uint8Array | null {
    const plain = wanted === null || placement.hash !== null ? null : this.#opened(wanted);
    return plain === null ? null : partOf(plain, placement);
  }

  #opened(wanted: WantedFrame): Uint8Array | null {
    if (wanted.held === null || wanted.held.plain === null) {
      wanted.held = this.#frames.find(wanted.key);
    }
    return wanted.held === null ? null : this.#frames.use(wanted.held);
  }

  async #openOnShelf(work: Work, wanted: WantedFrame): Promise<Uint8Array> {
    const stored = await takeStored(work, wanted);
    const { key, frame } = wanted;
    const held = this.#frames.open(key, frame.plainBytes, (into) =>
      openFrame(work, wanted, { stored, into }),
    );
    wanted.held = held;
    return held.plain;
  }

  #used({ wanted }: Step): void {
    if (wanted === null) return;
    wanted.uses -= 1;
    if (wanted.uses === 0) this.#letGo(wanted);
  }

  /** A frame of which less than half was needed here goes on in what other tasks place, or the next one of this worker. */
  #letGo({ held, frame, usedBytes }: WantedFrame): void {
    if (held !== null && usedBytes * 2 >= frame.plainBytes) this.#frames.drop(held);
  }

  /** The parts of a placement whose place does not hold them yet. */
  #missing(placement: Placement, frame: TableFrame): readonly Placement[] {
    if (this.#present === null) return [placement];
    const missing = this.#present.differing(placement, frame);
    const missingBytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#count('kept', placement.bytes - missingBytes);
    return missing;
  }

  /** Makes zero what has to be: what stood there before, not what a new file begins with. */
  #clear(placement: Placement): void {
    for (const part of this.#present?.notZero(placement) ?? []) {
      this.#files.write(part, Buffer.alloc(part.bytes));
      this.#count('written', part.bytes);
    }
  }

  #count(counter: keyof typeof PLACED_BYTES, bytes: number): void {
    Atomics.add(this.#placedBytes, PLACED_BYTES[counter], BigInt(bytes));
  }

  #keepRate(): void {
    const { rateBytesPerSecond } = this.#setup;
    if (rateBytesPerSecond === null) return;
    for (;;) {
      const dueMs =
        (Number(Atomics.load(this.#placedBytes, PLACED_BYTES.written)) / rateBytesPerSecond) * 1000;
      const aheadMs = dueMs - (performance.now() - this.#startedMs);
      if (aheadMs < 1) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(aheadMs, PAUSE_MS_MAX));
    }
  }
}

async function takeStored({ ranges }: Work, wanted: WantedFrame): Promise<PackBytes> {
  if (wanted.range === NO_RANGE) {
    // It stood on the shelf when the task began, and had to make room since.
    for (const range of rangesOf([wanted])) wanted.range = ranges.add(range);
  }
  return await ranges.take(wanted.range);
}

/** Checks and opens a frame; an error names the files it hits. */
function openFrame(
  { task, ranges }: Work,
  wanted: WantedFrame,
  { stored, into }: { readonly stored: PackBytes; readonly into: Uint8Array },
): Uint8Array {
  const { pack: key, frame, range } = wanted;
  try {
    return openIndexedFrame(stored.bytes, stored.offset, { key, frame, into });
  } catch (error) {
    const hit = task.steps.filter((step) => step.wanted === wanted);
    const placements = hit.map(({ placement }) => placement);
    throw explainDamage(error, `frame ${frame.number} of pack ${key}`, placements);
  } finally {
    ranges.opened(range);
  }
}

function partOf(plain: Uint8Array, { frameOffset, bytes }: Placement): Uint8Array {
  return plain.subarray(frameOffset, frameOffset + bytes);
}

function continues(next: Placement | undefined, { path, fileOffset, bytes }: Placement): boolean {
  return next !== undefined && next.path === path && next.fileOffset === fileOffset + bytes;
}
