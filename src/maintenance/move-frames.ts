/** Reads the live frames of packs and hands them to the mover; a pack with a frame that does not verify is left alone. */
import { frameSpan, openIndexedFrame, readPackIndex } from '../repository/pack-reader.ts';
import { damaged } from '../repository/object-header.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { faultOf } from './fault.ts';
import type { FrameMover, ReadFrame } from './frame-mover.ts';
import type { LiveFrames } from './live-frames.ts';

export type DamagedPack = {
  readonly key: string;
  readonly reason: string;
  /** `all` when not even the index can be read. */
  readonly frames: readonly number[] | 'all';
};

export type FrameMoving = {
  readonly store: ObjectStore;
  readonly mover: FrameMover;
  readonly live: LiveFrames;
  readonly signal: AbortSignal;
};

/** Every live frame of a pack is read and checked before the first one moves, and again when it does. */
export async function moveFrames(
  moving: FrameMoving,
  packs: readonly string[],
): Promise<readonly DamagedPack[]> {
  const found: DamagedPack[] = [];
  for (const pack of packs) {
    const fault = await findDamage(moving, pack);
    if (fault !== null) {
      found.push(fault);
      continue;
    }
    moving.mover.begin(pack);
    for await (const { read } of readLiveFrames(moving, pack)) {
      if (read === null) throw damaged(pack, 'a frame that was sound cannot be read any more');
      await moving.mover.add(read);
    }
  }
  return found;
}

async function findDamage(moving: FrameMoving, pack: string): Promise<DamagedPack | null> {
  const frames: number[] = [];
  let reason: string | null = null;
  try {
    for await (const { frame, fault } of readLiveFrames(moving, pack)) {
      if (fault === null) continue;
      frames.push(frame);
      reason ??= fault;
    }
  } catch (error) {
    moving.signal.throwIfAborted();
    return { key: pack, reason: faultOf(error), frames: 'all' };
  }
  return reason === null ? null : { key: pack, reason, frames };
}

type FrameReading = {
  readonly frame: number;
  readonly fault: string | null;
  readonly read: ReadFrame | null;
};

async function* readLiveFrames(
  { store, live, signal }: FrameMoving,
  pack: string,
): AsyncGenerator<FrameReading> {
  const { frames } = await readPackIndex(store, pack);
  for (const [number, stretches] of live.of(pack)) {
    signal.throwIfAborted();
    try {
      const frame = frames[number];
      if (frame === undefined) throw damaged(pack, `it has no frame ${number}`);
      const { stored, plain } = await readFrame(store, pack, frame);
      const isInside = stretches.every(({ end }) => end <= plain.length);
      if (!isInside) throw damaged(pack, `frame ${number} is shorter than a map says`);
      const read = { pack, frame, stored, plain, live: stretches };
      yield { frame: number, fault: null, read };
    } catch (error) {
      yield { frame: number, fault: faultOf(error), read: null };
    }
  }
}

async function readFrame(
  store: ObjectStore,
  key: string,
  frame: IndexedFrame,
): Promise<{ readonly stored: Buffer; readonly plain: Uint8Array }> {
  const buffer = Buffer.allocUnsafe(frameSpan(frame));
  const stored = buffer.subarray(0, await store.read(key, frame.offset, buffer));
  return { stored, plain: openIndexedFrame(stored, frame.offset, { key, frame }) };
}
