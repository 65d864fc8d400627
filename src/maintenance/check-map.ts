import { WalnutError } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { readMapChunk, type ChunkReference } from '../repository/backup-map.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { FileEntry, MapEntry } from '../repository/map-chunk.ts';
import { damaged } from '../repository/object-header.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BlockRange, DamageLedger } from './damage-ledger.ts';
import { faultOf } from './fault.ts';
import type { FileContents } from './file-contents.ts';
import type { ChunkUse, PackUse } from './load-backups.ts';
import { contradiction, type Claim, type PackSummaries } from './pack-summaries.ts';

/** Frames of a pack that cannot be read; `all` when its index cannot, or the pack is missing. */
export type LostFrames = ReadonlySet<number> | 'all';

export type MapCheck = {
  readonly store: ObjectStore;
  readonly ledger: DamageLedger;
  readonly summaries: PackSummaries;
  readonly contents: FileContents;
  readonly packs: ReadonlyMap<string, PackUse>;
  /** By key of the pack. */
  readonly lost: ReadonlyMap<string, LostFrames>;
  /** Whether a pack's frames are read: files that are no relations are compared with their hash where all of theirs are. */
  readonly takes: (pack: string) => boolean;
  readonly signal: AbortSignal;
};

/** A piece of a file and the pack that should hold it. */
type Extent = Claim & { readonly pack: string };

/** Checks a map chunk, and that packs hold what it says; what is lost in damaged packs is named by file. */
export async function checkMapChunk(
  check: MapCheck,
  { reference, backups }: ChunkUse,
): Promise<void> {
  const { ledger, store } = check;
  const { key } = reference;
  let entries: readonly MapEntry[];
  try {
    entries = await readMapChunk(store, reference);
    requireReferenced(reference, entries);
  } catch (error) {
    ledger.add(key, faultOf(error));
    const what = `${reference.files} files from ${reference.firstPath} to ${reference.lastPath}`;
    ledger.hit(key, backups, { what });
    return;
  }
  for (const entry of entries) {
    check.signal.throwIfAborted();
    await checkEntry(check, entry, { key, backups });
  }
}

function requireReferenced(reference: ChunkReference, entries: readonly MapEntry[]): void {
  const isSame =
    entries.length === reference.files &&
    entries[0]?.path === reference.firstPath &&
    entries.at(-1)?.path === reference.lastPath;
  if (!isSame) throw damaged(reference.key, 'its files are not those that the manifest names');
}

type Origin = { readonly key: string; readonly backups: readonly BackupId[] };

async function checkEntry(check: MapCheck, entry: MapEntry, origin: Origin): Promise<void> {
  let isSound = true;
  for (const extent of extentsOf(entry)) {
    const isPlaced = await checkExtent(check, extent, origin);
    isSound &&= isPlaced;
  }
  const isTaken = entry.kind === 'file' && entry.extents.every(({ pack }) => check.takes(pack));
  if (entry.kind === 'file' && isSound && isTaken) await checkContent(check, entry, origin);
}

async function checkContent(check: MapCheck, file: FileEntry, origin: Origin): Promise<void> {
  const { ledger, contents } = check;
  const bytes = file.extents.reduce((sum, extent) => sum + extent.bytes, 0);
  let { key } = origin;
  let reason = `the content of ${file.path} has not the hash that the map tells`;
  try {
    if (bytes === file.sizeBytes && (await contents.matchesHash(file))) return;
  } catch (error) {
    reason = faultOf(error);
    key = keyOf(error) ?? key;
  }
  ledger.add(key, reason);
  ledger.hit(key, origin.backups, { what: file.path });
}

/** True when the extent's content lies where the map says, as far as the pack's index tells. */
async function checkExtent(check: MapCheck, extent: Extent, origin: Origin): Promise<boolean> {
  const { ledger, lost } = check;
  const { pack } = extent;
  const frames = lost.get(pack);
  if (frames !== 'all' && frames?.has(extent.frame) !== true) {
    const reason = await misplaced(check, extent, origin);
    if (reason === null) return true;
    ledger.add(pack, reason);
  }
  ledger.hit(pack, origin.backups, { what: extent.path, where: whereOf(extent) });
  return false;
}

async function misplaced(
  { packs, summaries }: MapCheck,
  extent: Extent,
  { backups }: Origin,
): Promise<string | null> {
  const users = packs.get(extent.pack)?.backups;
  if (!backups.every((backup) => users?.has(backup) === true)) {
    return 'a map refers to it, and the manifest does not name it';
  }
  try {
    return contradiction(await summaries.of(extent.pack), extent);
  } catch (error) {
    return faultOf(error);
  }
}

function keyOf(error: unknown): string | null {
  const key = error instanceof WalnutError ? error.details['key'] : undefined;
  return typeof key === 'string' ? key : null;
}

function whereOf({ kind, from, length }: Extent): string | BlockRange {
  if (kind === 'bytes') return from === 0 ? `bytes 0–${length - 1}` : `from byte ${from}`;
  const firstBlock = from / PAGE_BYTES;
  return { firstBlock, lastBlock: firstBlock + length / PAGE_BYTES - 1 };
}

function* extentsOf(entry: MapEntry): Generator<Extent> {
  const { path } = entry;
  if (entry.kind === 'relation') {
    for (const { firstBlock, pages, pack, frame, position } of entry.extents) {
      const from = firstBlock * PAGE_BYTES;
      const place = { pack, frame, position: position * PAGE_BYTES };
      yield { kind: 'pages', path, from, length: pages * PAGE_BYTES, ...place };
    }
  } else if (entry.kind === 'file') {
    let from = 0;
    for (const { bytes, pack, frame, position } of entry.extents) {
      yield { kind: 'bytes', path, from, length: bytes, pack, frame, position };
      from += bytes;
    }
  }
}
