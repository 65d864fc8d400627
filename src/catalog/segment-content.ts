import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { MajorVersion } from '../postgres/version.ts';
import { toMajorVersion } from '../postgres/version.ts';
import {
  assembleSegment,
  cutSegment,
  type AssembledSegment,
} from '../postgres/wal/segment-assembly.ts';
import { decodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { describeSegment, type SegmentFacts } from '../postgres/wal/segment-facts.ts';
import { walKeys } from '../repository/layout.ts';
import type { Incarnation } from '../repository/repository.ts';
import { readWalObject, readWalObjectHead } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { coverOf, endOf, type OpenSegment } from './open-segment.ts';
import {
  holdsSegment,
  readWalInventory,
  type WalInventory,
  type WalScope,
} from './wal-inventory.ts';
import type { WalPathSegment } from './wal-path.ts';

/** What every WAL page of an incarnation must say about itself. */
export function walIdentity(incarnation: Incarnation): {
  readonly segmentBytes: number;
  readonly majorVersion: MajorVersion;
  readonly systemIdentifier: bigint;
} {
  return {
    segmentBytes: incarnation.walSegmentBytes,
    majorVersion: toMajorVersion(incarnation.majorVersion),
    systemIdentifier: BigInt(incarnation.systemIdentifier),
  };
}

export type OpenContent = AssembledSegment & {
  /** Parts that could not be used. */
  readonly damaged: readonly UnusablePart[];
  /** A part was replaced while we read: look again. */
  readonly hasVanished: boolean;
};

export type UnusablePart = {
  readonly key: string;
  readonly reason: string;
  /** Where its bytes end in the segment. */
  readonly end: number;
};

/**
 * Puts the stored parts of an open segment together, zero-padded to the segment's size. A part that is damaged or has
 * vanished is left out: the others may hold its bytes too.
 */
export async function readOpenSegment(
  store: ObjectStore,
  open: Pick<OpenSegment, 'parts'>,
  segment: { readonly name: string; readonly segmentBytes: number },
): Promise<OpenContent> {
  const damaged: UnusablePart[] = [];
  let hasVanished = false;
  const usable = new Set(open.parts);
  const pieces = new Map<string, Buffer>();
  for (;;) {
    const cover = coverOf([...usable]);
    const missing = cover.parts.find(({ key }) => !pieces.has(key));
    if (missing === undefined) {
      const chosen = cover.parts.map(({ key, offset, length }) => ({
        offset,
        bytes: (pieces.get(key) ?? Buffer.alloc(0)).subarray(0, length),
      }));
      return { ...assembleSegment(chosen, segment), damaged, hasVanished };
    }
    try {
      pieces.set(missing.key, await readWalObject(store, missing.key, missing.kind));
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing')) throw error;
      usable.delete(missing);
      if (error.code === 'object-missing') hasVanished = true;
      else damaged.push({ key: missing.key, reason: error.message, end: endOf(missing) });
    }
  }
}

/** A running receiver merges pieces every few seconds: more looks than this mean that something else removes them. */
export const PIECE_LOOKS_MAX = 5;

/** @param act such as `fetch 000000010000000000000003`. */
export function piecesKeepVanishing(act: string): WalnutError {
  return new WalnutError('storage', `${act}: its pieces keep vanishing while they are read`);
}

/**
 * A segment as recovery would be given it; `length` is smaller than the segment for one that was open when the inventory
 * was read, whatever came since.
 */
export async function readPathSegment(
  store: ObjectStore,
  inventory: WalInventory,
  segment: WalPathSegment,
): Promise<AssembledSegment> {
  const { open } = segment;
  if (open === null) return readWholeSegment(store, inventory, segment);
  const { length: wanted } = coverOf(open.parts);
  let parts: OpenSegment = open;
  for (let look = 1; ; look += 1) {
    const content = await readOpenSegment(store, parts, { ...inventory, ...segment });
    if (content.length >= wanted) return cutTo(wanted, content);
    const now = content.hasVanished ? await lookAgain(store, inventory, segment) : null;
    if (now === null) return content;
    if (now === 'whole') return cutTo(wanted, await readWholeSegment(store, inventory, segment));
    if (look === PIECE_LOOKS_MAX) throw piecesKeepVanishing(`read WAL segment ${segment.name}`);
    parts = now;
  }
}

function cutTo(length: number, content: AssembledSegment): AssembledSegment {
  if (content.length === length) return content;
  return { bytes: cutSegment(content.bytes, length, content.bytes.length), length };
}

/** What holds a segment whose pieces were replaced meanwhile: null when nothing does. */
async function lookAgain(
  store: ObjectStore,
  scope: WalScope,
  { timeline, number }: WalPathSegment,
): Promise<OpenSegment | 'whole' | null> {
  const stored = (await readWalInventory(store, scope)).timelines.get(timeline);
  if (stored === undefined) return null;
  if (holdsSegment(stored, number)) return 'whole';
  return stored.open.find((candidate) => candidate.number === number) ?? null;
}

async function readWholeSegment(
  store: ObjectStore,
  inventory: WalInventory,
  segment: WalPathSegment,
): Promise<AssembledSegment> {
  const { segmentBytes } = inventory;
  const bytes = await readWalObject(store, segmentKey(inventory, segment), 'wal-segment');
  if (bytes.length !== segmentBytes) {
    throw new WalnutError(
      'object-damaged',
      `read WAL segment ${segment.name}: it has ${bytes.length} bytes, not ${segmentBytes}`,
    );
  }
  return { bytes, length: segmentBytes };
}

/** What was found out about a segment when it arrived; described again when that is not stored, or for an open one. */
export async function readSegmentFacts(
  store: ObjectStore,
  inventory: WalInventory,
  segment: WalPathSegment,
): Promise<SegmentFacts> {
  if (segment.open === null) {
    const { facts } = await readWalObjectHead(store, segmentKey(inventory, segment));
    if (facts.length > 0) return decodeSegmentFacts(facts);
  }
  const { bytes, length } = await readPathSegment(store, inventory, segment);
  const identity = walIdentity(inventory.incarnation);
  return describeSegment(bytes.subarray(0, length), { name: segment.name, ...identity });
}

/** Where a whole segment of a path is stored. */
export function segmentKey(
  { server, name }: WalScope & WalInventory,
  segment: WalPathSegment,
): string {
  const place = { server, incarnation: name, timeline: segment.timeline };
  return walKeys.segment(place, segment.name);
}
