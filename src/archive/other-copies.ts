import { open } from 'node:fs/promises';
import {
  readOpenSegment,
  walIdentity,
  type OpenContent,
  type UnusablePart,
} from '../catalog/segment-content.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { lastStoredSegment, type WalInventory } from '../catalog/wal-inventory.ts';
import { measureParts, type OpenSegment, type OpenSegmentPart } from '../catalog/open-segment.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { cutSegment } from '../postgres/wal/segment-assembly.ts';
import { describeSegment, segmentProblem } from '../postgres/wal/segment-facts.ts';
import { parsePieceName, walKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { spoolPaths } from './spool-paths.ts';

export type SegmentCopy = {
  readonly source: 'segment' | 'partial' | 'pieces' | 'spool';
  /** A whole segment, zero behind the WAL of an open one. */
  readonly bytes: Uint8Array;
  readonly damaged: readonly { readonly key: string; readonly reason: string }[];
};

export type CopySearch = {
  readonly store: ObjectStore;
  readonly name: string;
  readonly inventory: WalInventory;
  readonly spoolFolder: string | null;
  /** Whether the segment is stored whole, but damaged. */
  readonly isDamaged: boolean;
};

/**
 * Another copy of a segment that is not stored whole and sound: the spool's, or what pieces and `.partial` files give.
 * A copy that does not reach the segment's end serves only as the last WAL of its timeline.
 * @throws WalnutError `object-damaged` when what is left would pass for the end of WAL, because the part behind it cannot
 * be read.
 */
export async function findOtherCopy(
  search: CopySearch,
): Promise<SegmentCopy | 'look-again' | null> {
  const spooled = await readSpooled(search, 'complete');
  if (spooled !== null) return spooled;
  const { inventory, name } = search;
  const parts = await readParts(search);
  if (parts?.hasVanished === true) return 'look-again';
  if (parts?.length === inventory.segmentBytes) return parts;
  if (search.isDamaged || !isLastOfTimeline(inventory, name)) return null;
  const current = await readSpooled(search, 'partial');
  const best = longerOf(parts, current);
  if (best === null) return null;
  const damaged = parts?.damaged ?? [];
  const lost = damaged.find(({ end }) => end > best.length);
  if (lost !== undefined) throw endIsDamaged(name, lost);
  if (!reachesOwnWal(inventory, name, best.length)) return null;
  const bytes = cutSegment(best.bytes, best.length, inventory.segmentBytes);
  return { source: best.source, bytes, damaged };
}

type ShorterCopy = SegmentCopy & { readonly length: number };

type PartsCopy = Omit<ShorterCopy, 'damaged'> & Pick<OpenContent, 'damaged' | 'hasVanished'>;

async function readParts(search: CopySearch): Promise<PartsCopy | null> {
  const { store, inventory, name } = search;
  const { segmentBytes } = inventory;
  const segment = await findParts(search);
  if (segment === null) return null;
  const content = await readOpenSegment(store, segment, { name, segmentBytes });
  if (content.length === 0 && content.damaged.length === 0 && !content.hasVanished) return null;
  const isPartial = segment.parts.some(
    ({ kind, length }) => kind === 'wal-partial' && length === content.length,
  );
  return { source: isPartial ? 'partial' : 'pieces', ...content };
}

function longerOf(parts: PartsCopy | null, current: ShorterCopy | null): ShorterCopy | null {
  if (parts === null || current === null) return parts ?? current;
  return current.length > parts.length ? current : parts;
}

/** A damaged whole segment hides its parts from the inventory. */
async function findParts(search: CopySearch): Promise<OpenSegment | null> {
  const { store, inventory, name, isDamaged } = search;
  const { timeline, number } = parseSegmentName(name, inventory.segmentBytes);
  const known = inventory.timelines.get(timeline)?.open.find((entry) => entry.number === number);
  if (known !== undefined) return known;
  if (!isDamaged) return null;
  const { server, name: incarnation, segmentBytes } = inventory;
  const folder = walKeys.timeline({ server, incarnation, timeline });
  const names = await store.listFolder(folder);
  const parts = names.flatMap((entry): OpenSegmentPart[] => {
    const key = `${folder}${entry}`;
    const piece = parsePieceName(entry);
    if (piece?.segment === name) {
      return [{ key, kind: 'wal-piece', offset: piece.offset, length: piece.length }];
    }
    return entry === `${name}.partial` ? [{ key, kind: 'wal-partial', offset: 0, length: 0 }] : [];
  });
  return measureParts(store, { number, segmentBytes, parts });
}

function isLastOfTimeline(inventory: WalInventory, name: string): boolean {
  const { timeline, number } = parseSegmentName(name, inventory.segmentBytes);
  const stored = inventory.timelines.get(timeline);
  return stored === undefined || (lastStoredSegment(stored) ?? -1n) <= number;
}

/** A child's first segment begins with a copy of its parent's WAL: less than that is worse than the parent's own file. */
function reachesOwnWal(inventory: WalInventory, name: string, length: number): boolean {
  const { timeline, number } = parseSegmentName(name, inventory.segmentBytes);
  const begin = inventory.histories.get(timeline)?.ancestors.at(-1)?.end ?? toLsn(0n);
  const end: Lsn = toLsn(segmentStart(number, inventory.segmentBytes) + BigInt(length));
  return length > 0 && end > begin;
}

/** A file of the spool on this host. Its WAL is walked through, because a local file carries no hash. */
async function readSpooled(
  { inventory, name, spoolFolder }: CopySearch,
  state: 'complete' | 'partial',
): Promise<ShorterCopy | null> {
  if (spoolFolder === null) return null;
  const { segmentBytes } = inventory;
  const paths = spoolPaths({ folder: spoolFolder, incarnation: inventory.name });
  const path = state === 'complete' ? paths.complete(name) : paths.partial(name);
  const content = await readFileIfPresent(path, segmentBytes);
  if (content === null) return null;
  const facts = describeSegment(content, { name, ...walIdentity(inventory.incarnation) });
  if (state === 'complete' && segmentProblem(facts) !== undefined) return null;
  const length = state === 'complete' ? segmentBytes : Number(facts.validEnd - facts.startLsn);
  if (length === 0) return null;
  return { source: 'spool', bytes: content, length, damaged: [] };
}

async function readFileIfPresent(path: string, maxBytes: number): Promise<Buffer | null> {
  try {
    const handle = await open(path, 'r');
    try {
      const content = Buffer.alloc(maxBytes);
      const { bytesRead } = await handle.read(content, 0, maxBytes, 0);
      return content.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch {
    // A copy that cannot be read, for whatever reason, is none.
    return null;
  }
}

/** What is left would pass for the end of WAL, and recovery would end early. */
function endIsDamaged(name: string, { key, reason }: UnusablePart): WalnutError {
  return new WalnutError(
    'object-damaged',
    `fetch ${name}: the part that holds its end is damaged (${reason})`,
    { details: { key } },
  );
}
