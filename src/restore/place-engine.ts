import { blake3 } from '../lib/hashing.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { openIndexedFrame, readPackIndex, type PackIndex } from '../repository/pack-reader.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { collectYoungGarbage } from './collect-garbage.ts';
import { frameRanges, READ_BYTES_MAX, type FrameRange } from './frame-ranges.ts';
import type { PlaceWorkerSetup } from './place-protocol.ts';
import { readPlacements, type Placement } from './placement.ts';
import type { PlaceTask } from './placement-sorter.ts';
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
  readonly #writtenBytes: BigInt64Array;
  readonly #startedMs: number = performance.now();
  #buffer: Buffer = Buffer.allocUnsafe(READ_BYTES_MAX);
  #index: PackIndex | null = null;

  constructor(store: ObjectStore, setup: PlaceWorkerSetup) {
    this.#store = store;
    this.#setup = setup;
    this.#files = new TargetFiles(setup.locations);
    this.#writtenBytes = new BigInt64Array(setup.writtenBytes);
  }

  /** Answers the bytes read from the repository. */
  async run(task: PlaceTask): Promise<number> {
    const byFrame = groupByFrame(readPlacements(task.placements));
    const index = await this.#packIndex(task.pack).catch((error: unknown) => {
      throw explainDamage(error, `pack ${task.pack}`, [...byFrame.values()].flat());
    });
    const frames = [...byFrame.keys()]
      .toSorted((first, second) => first - second)
      .map((number) => frameAt(index, number, byFrame.get(number) ?? []));
    let readBytes = 0;
    for (const range of frameRanges(frames)) {
      const bytes = await this.#read(task.pack, range);
      readBytes += range.length;
      for (const frame of range.frames) {
        const placements = byFrame.get(frame.number) ?? [];
        const plain = openFrame(bytes, range, { key: task.pack, frame, placements });
        for (const placement of placements) this.#write(placement, plain);
      }
      collectYoungGarbage();
      this.#keepRate();
    }
    return readBytes;
  }

  async #packIndex(key: string): Promise<PackIndex> {
    if (this.#index?.key !== key) this.#index = await readPackIndex(this.#store, key);
    return this.#index;
  }

  async #read(key: string, range: FrameRange): Promise<Buffer> {
    if (range.length > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(range.length);
    const bytes = this.#buffer.subarray(0, range.length);
    const count = await this.#store.read(key, range.offset, bytes);
    // What is missing at the end of a cut pack must not be what an earlier read left in the buffer.
    return bytes.subarray(0, count);
  }

  #write(placement: Placement, plain: Uint8Array): void {
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
    this.#files.write(placement, content);
    Atomics.add(this.#writtenBytes, 0, BigInt(bytes));
  }

  #keepRate(): void {
    const { rateBytesPerSecond } = this.#setup;
    if (rateBytesPerSecond === null) return;
    for (;;) {
      const dueMs = (Number(Atomics.load(this.#writtenBytes, 0)) / rateBytesPerSecond) * 1000;
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
    return openIndexedFrame(bytes, range.offset, place);
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
