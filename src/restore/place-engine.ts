import { blake3 } from '../lib/hashing.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { openIndexedFrame, readPackIndex, type PackIndex } from '../repository/pack-reader.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { collectYoungGarbage } from './collect-garbage.ts';
import { frameRanges, READ_BYTES_MAX, type FrameRange } from './frame-ranges.ts';
import { PLACED_BYTES, type PlaceWorkerSetup } from './place-protocol.ts';
import { readPlacements, ZERO_PAGES, type Placement } from './placement.ts';
import type { PlaceTask } from './placement-sorter.ts';
import { PresentContent } from './present-content.ts';
import { StretchWriter } from './stretch-writer.ts';
import { contentDiffers, TargetFiles } from './target-files.ts';

/** Files named in an error; a bundle can hold thousands. */
const NAMED_FILES_MAX = 20;
/** Longest single pause for a rate limit, so that progress stays visible. */
const PAUSE_MS_MAX = 1000;

/** What a place worker does, apart from talking to its parent. */
export class PlaceEngine {
  readonly #store: ObjectStore;
  readonly #setup: PlaceWorkerSetup;
  readonly #files: TargetFiles;
  readonly #stretches: StretchWriter;
  readonly #placedBytes: BigInt64Array;
  readonly #startedMs: number = performance.now();
  /** One is worked off while the other is read into. */
  readonly #buffers: [Buffer, Buffer] = [
    Buffer.allocUnsafeSlow(READ_BYTES_MAX),
    Buffer.allocUnsafeSlow(READ_BYTES_MAX),
  ];
  #index: PackIndex | null = null;
  #present: PresentContent | null = null;

  constructor(store: ObjectStore, setup: PlaceWorkerSetup) {
    this.#store = store;
    this.#setup = setup;
    this.#files = new TargetFiles(setup.locations);
    this.#stretches = new StretchWriter(this.#files);
    this.#placedBytes = new BigInt64Array(setup.placedBytes);
  }

  /** Answers the bytes read from the repository. */
  async run(task: PlaceTask): Promise<number> {
    const placements = readPlacements(task.placements);
    if (placements.some(({ compare }) => compare)) {
      this.#present ??= await PresentContent.create(this.#files);
    }
    if (task.pack === ZERO_PAGES) {
      this.#clear(placements);
      return 0;
    }
    return await this.#placeFrames(task.pack, groupByFrame(placements));
  }

  async #placeFrames(pack: string, byFrame: Map<number, Placement[]>): Promise<number> {
    const index = await this.#packIndex(pack).catch((error: unknown) => {
      throw explainDamage(error, `pack ${pack}`, [...byFrame.values()].flat());
    });
    const wanted = new Map<number, Placement[]>();
    const frames: IndexedFrame[] = [];
    for (const number of [...byFrame.keys()].toSorted((first, second) => first - second)) {
      const placements = byFrame.get(number) ?? [];
      const frame = frameAt(index, number, placements);
      const missing = placements.flatMap((placement) => this.#missing(placement, frame));
      if (missing.length === 0) continue;
      frames.push(frame);
      wanted.set(number, missing);
    }
    let readBytes = 0;
    for await (const { range, bytes } of this.#readAhead(pack, frameRanges(frames))) {
      readBytes += range.length;
      for (const frame of range.frames) {
        const placements = wanted.get(frame.number) ?? [];
        const plain = openFrame(bytes, range, { key: pack, frame, placements });
        for (const placement of placements) await this.#write(placement, plain);
      }
      collectYoungGarbage();
      this.#keepRate();
    }
    await this.#stretches.flush();
    return readBytes;
  }

  async #packIndex(key: string): Promise<PackIndex> {
    if (this.#index?.key !== key) this.#index = await readPackIndex(this.#store, key);
    return this.#index;
  }

  /** Reads each range while the one before it is worked off: a repository may be slower than its reader. */
  async *#readAhead(
    key: string,
    ranges: readonly FrameRange[],
  ): AsyncGenerator<{ readonly range: FrameRange; readonly bytes: Buffer }> {
    let next: Promise<Buffer> | null = null;
    try {
      for (const [number, range] of ranges.entries()) {
        const bytes: Buffer = await (next ?? this.#read(key, range, number));
        const following = ranges[number + 1];
        next = following === undefined ? null : this.#read(key, following, number + 1);
        // A failure is met when its range is due.
        next?.catch(() => undefined);
        yield { range, bytes };
      }
    } finally {
      // The buffer is in use until the read ends, also when nobody wants it any more.
      await next?.catch(() => undefined);
    }
  }

  async #read(key: string, range: FrameRange, number: number): Promise<Buffer> {
    const place = number % 2;
    const buffer = this.#buffers[place === 0 ? 0 : 1];
    const fitting = range.length > buffer.length ? Buffer.allocUnsafeSlow(range.length) : buffer;
    this.#buffers[place === 0 ? 0 : 1] = fitting;
    const bytes = fitting.subarray(0, range.length);
    const count = await this.#store.read(key, range.offset, bytes);
    // What is missing at the end of a cut pack must not be what an earlier read left in the buffer.
    return bytes.subarray(0, count);
  }

  /** The parts of a placement whose place does not hold them yet. */
  #missing(placement: Placement, frame: IndexedFrame): readonly Placement[] {
    if (!placement.compare || this.#present === null) return [placement];
    const missing = this.#present.differing(placement, frame);
    const missingBytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#count('kept', placement.bytes - missingBytes);
    return missing;
  }

  /** Makes zero what has to be: what stood there before, not what a new file begins with. */
  #clear(placements: readonly Placement[]): void {
    for (const placement of placements) {
      for (const part of this.#present?.notZero(placement) ?? []) {
        this.#files.write(part, Buffer.alloc(part.bytes));
        this.#count('written', part.bytes);
      }
      this.#keepRate();
    }
  }

  async #write(placement: Placement, plain: Uint8Array): Promise<void> {
    const { frameOffset, bytes, path, fileOffset, fileBytes } = placement;
    if (frameOffset + bytes > plain.length || fileOffset + bytes > fileBytes) {
      throw new WalnutError(
        'object-damaged',
        `restore ${path}: the backup's map names a place outside of its frame or file`,
        { hint: 'Restore another backup (`walnut list`).', details: { files: [path] } },
      );
    }
    const content = plain.subarray(frameOffset, frameOffset + bytes);
    if (placement.hash !== null && !blake3(content).equals(placement.hash)) {
      throw contentDiffers(path);
    }
    await this.#stretches.write(placement, content);
    this.#count('written', bytes);
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

function groupByFrame(placements: readonly Placement[]): Map<number, Placement[]> {
  const byFrame = new Map<number, Placement[]>();
  for (const placement of placements) {
    const group = byFrame.get(placement.frame);
    if (group === undefined) byFrame.set(placement.frame, [placement]);
    else group.push(placement);
  }
  return byFrame;
}

function frameAt(index: PackIndex, number: number, placements: readonly Placement[]): IndexedFrame {
  const frame = index.frames[number];
  if (frame !== undefined) return frame;
  const error = new WalnutError(
    'object-damaged',
    `read pack ${index.key}: it has no frame ${number}`,
    { details: { key: index.key } },
  );
  throw explainDamage(error, `frame ${number} of pack ${index.key}`, placements);
}

function openFrame(
  bytes: Buffer,
  range: FrameRange,
  place: {
    readonly key: string;
    readonly frame: IndexedFrame;
    readonly placements: readonly Placement[];
  },
): Uint8Array {
  try {
    return openIndexedFrame(bytes, range.offset, { ...place, reuseMemory: true });
  } catch (error) {
    throw explainDamage(
      error,
      `frame ${place.frame.number} of pack ${place.key}`,
      place.placements,
    );
  }
}

/** Names the files that a damaged or missing part of the repository hits. */
function explainDamage(error: unknown, part: string, placements: readonly Placement[]): unknown {
  if (!hasCode(error, 'object-damaged', 'object-missing')) return error;
  const files = [...new Set(placements.map(({ path }) => path))];
  const named = files.slice(0, NAMED_FILES_MAX);
  const more = files.length > named.length ? ` and ${files.length - named.length} more` : '';
  return new WalnutError(
    error.code,
    `restore from ${part}: ${error.message}; it holds parts of ${named.join(', ')}${more}`,
    {
      hint:
        'Nothing of the restored cluster can be used. Restore another backup (`walnut list`), and run `walnut verify` to ' +
        'see everything that is damaged.',
      cause: error,
      details: { ...error.details, files: named },
    },
  );
}
