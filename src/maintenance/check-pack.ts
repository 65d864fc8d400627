import { FRAME_BYTES_MAX, PAGE_BYTES } from '../repository/frame.ts';
import { damaged } from '../repository/object-header.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import { frameSpan, openIndexedFrame, readPackIndex } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { faultOf } from './fault.ts';

/** One read: large enough that a request costs little, small enough for a buffer per worker. */
const READ_BYTES_MAX: number = 4 * 1024 * 1024;

export type FrameFault = { readonly frame: number; readonly reason: string };

export type PackVerdict = {
  /** Bytes read. */
  readonly bytes: number;
  /** Why none of its frames can be read; null when they can. */
  readonly fault: string | null;
  readonly frames: readonly FrameFault[];
};

export type PackCheck = {
  readonly key: string;
  /** What the manifest says, when there is one that names the pack. */
  readonly expectedBytes: number | null;
  /** Whether to read the frames too, or the index alone. */
  readonly readsFrames: boolean;
  readonly signal?: AbortSignal;
};

/** Checks index and frames of a pack; goes on after a damaged frame. */
export async function checkPack(store: ObjectStore, check: PackCheck): Promise<PackVerdict> {
  const { key, expectedBytes, readsFrames, signal } = check;
  let bytes = 0;
  const frames: FrameFault[] = [];
  try {
    const index = await readPackIndex(store, key);
    bytes += index.sizeBytes - index.frames.reduce((sum, frame) => sum + frameSpan(frame), 0);
    if (expectedBytes !== null && index.sizeBytes !== expectedBytes) {
      throw damaged(key, `it has ${index.sizeBytes} bytes, its manifest says ${expectedBytes}`);
    }
    for (const stretch of readsFrames ? stretchesOf(index.frames) : []) {
      signal?.throwIfAborted();
      bytes += await checkStretch(store, { key, stretch, faults: frames });
    }
    return { bytes, fault: null, frames };
  } catch (error) {
    signal?.throwIfAborted();
    return { bytes, fault: faultOf(error), frames };
  }
}

/** One per thread, like every module: memory fresh from the kernel for every frame costs more than decompressing into it. */
const opened: Uint8Array = Buffer.allocUnsafeSlow(FRAME_BYTES_MAX);

type StretchCheck = {
  readonly key: string;
  readonly stretch: readonly IndexedFrame[];
  readonly faults: FrameFault[];
};

async function checkStretch(
  store: ObjectStore,
  { key, stretch, faults }: StretchCheck,
): Promise<number> {
  const [first] = stretch;
  const last = stretch.at(-1);
  if (first === undefined || last === undefined) return 0;
  const length = last.offset + frameSpan(last) - first.offset;
  const buffer = Buffer.allocUnsafe(length);
  const held = buffer.subarray(0, await store.read(key, first.offset, buffer));
  for (const frame of stretch) {
    try {
      const plain = openIndexedFrame(held, first.offset, { key, frame, into: opened });
      checkLengths(plain, frame, key);
    } catch (error) {
      faults.push({ frame: frame.number, reason: faultOf(error) });
    }
  }
  return length;
}

/** The frame's content and what the index says that it holds must have one length. */
function checkLengths(plain: Uint8Array, frame: IndexedFrame, key: string): void {
  let pages = 0;
  let runBytes = 0;
  for (const run of frame.runs) {
    if (run.kind === 'pages') pages += run.length;
    else runBytes += run.length;
  }
  const isSound =
    plain.length === frame.plainBytes &&
    pages === frame.pageCount &&
    pages * PAGE_BYTES + runBytes === plain.length;
  if (!isSound) throw damaged(key, `frame ${frame.number} does not hold what the index says`);
}

/** Frames stand end to end, so neighbours are read at once. */
function* stretchesOf(frames: readonly IndexedFrame[]): Generator<IndexedFrame[]> {
  let stretch: IndexedFrame[] = [];
  let length = 0;
  for (const frame of frames) {
    const span = frameSpan(frame);
    if (length + span > READ_BYTES_MAX && stretch.length > 0) {
      yield stretch;
      stretch = [];
      length = 0;
    }
    stretch.push(frame);
    length += span;
  }
  if (stretch.length > 0) yield stretch;
}
