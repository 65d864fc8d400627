/**
 * Which pages of a file are read. The rules are those of an incremental that rests on WAL; each has a test that fails
 * without it.
 */
import {
  classifyFile,
  RELATION_SEGMENT_BLOCKS,
  type RelationFile,
} from '../postgres/cluster/relation-file.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { KnownDamage } from '../catalog/known-damage.ts';
import type { FileEntry, MapEntry, PageExtent, RelationEntry } from '../repository/map-chunk.ts';
import type { ListedFile } from './list-files.ts';
import type { PageChanges } from './page-changes.ts';
import { clipExtents, runsOf, subtractRuns, type BlockRun } from './page-extents.ts';

/** What the repository knows of the file at the same path. */
export type EarlierFile = {
  /** In the parent; null when the parent has no such file, or there is no parent. */
  readonly parent: MapEntry | null;
  /** Pages that a dead attempt has copied, one list per attempt. */
  readonly attempts: readonly (readonly PageExtent[])[];
};

export type CopyRules = {
  /** Known changes since the parent began; null reads everything. */
  readonly changes: PageChanges | null;
  /** Read also what looks untouched by its identity. */
  readonly paranoid: boolean;
  /** Frames that can no longer be read: nothing refers to them again. */
  readonly damage: KnownDamage;
};

export type FileDecision =
  /** Nothing is read. */
  | { readonly kind: 'known'; readonly entry: MapEntry }
  | {
      readonly kind: 'read';
      /** Blocks to read, ascending; null for the whole file. */
      readonly runs: readonly BlockRun[] | null;
      /** Blocks that are not read: they stand unchanged in earlier packs. */
      readonly base: readonly PageExtent[];
      /** Where what is read may be stored already, best source first. */
      readonly earlier: readonly (readonly PageExtent[])[];
      readonly earlierFile: FileEntry | null;
    };

/** A file of which the repository holds nothing. */
const READ_WHOLE: Extract<FileDecision, { kind: 'read' }> = {
  kind: 'read',
  runs: null,
  base: [],
  earlier: [],
  earlierFile: null,
};

export function decideFile(file: ListedFile, earlier: EarlierFile, rules: CopyRules): FileDecision {
  if (file.kind === 'directory' || file.kind === 'link') {
    return { kind: 'known', entry: plainEntry(file) };
  }
  const { parent, attempts } = earlier;
  if (parent === null && attempts.length === 0) return READ_WHOLE;
  const untouched = rules.paranoid ? null : untouchedEntry(file, parent, rules.damage);
  if (untouched !== null) return { kind: 'known', entry: untouched };
  if (file.kind === 'relation') return decideRelation(file, earlier, rules);
  const earlierFile = parent?.kind === 'file' && isSound(parent, rules.damage) ? parent : null;
  return { ...READ_WHOLE, earlierFile };
}

function decideRelation(
  file: ListedFile,
  { parent, attempts }: EarlierFile,
  { changes, damage }: CopyRules,
): FileDecision {
  const copied = attempts.map((extents) => soundExtents(extents, damage));
  const stored = parent?.kind === 'relation' ? parent : null;
  const sources = stored === null ? copied : [soundExtents(stored.extents, damage), ...copied];
  const whole: FileDecision = { ...READ_WHOLE, earlier: nonEmpty(sources) };
  if (stored === null || changes === null) return whole;
  const relation = classifyFile(file.path);
  if (relation.kind !== 'relation' || isReadWhole(relation, changes)) return whole;
  const runs = changedRuns(file, stored, { relation, changes, damage });
  const blocks = file.sizeBytes / PAGE_BYTES;
  const base = subtractRuns(clipExtents(stored.extents, 0, blocks), runs);
  if (runs.length > 0) {
    return { kind: 'read', runs, base, earlier: nonEmpty(copied), earlierFile: null };
  }
  const { path, sizeBytes, mode, modifiedMs } = file;
  const entry = { ...stored, path, sizeBytes, mode, modifiedMs, identity: null, extents: base };
  return { kind: 'known', entry };
}

function nonEmpty<Item>(lists: readonly (readonly Item[])[]): readonly (readonly Item[])[] {
  return lists.filter((list) => list.length > 0);
}

/**
 * WAL does not tell of all changes of visibility maps and free space maps (POSTGRES: c0d9864f5c mends it for 17 and 18),
 * nor page by page of databases that are copied as files.
 */
function isReadWhole(relation: RelationFile, changes: PageChanges): boolean {
  const { fork, tablespaceOid, databaseOid } = relation;
  return fork !== 'main' || changes.isRewritten(tablespaceOid, databaseOid);
}

type ChangeSearch = {
  readonly relation: RelationFile;
  readonly changes: PageChanges;
  readonly damage: KnownDamage;
};

/** Blocks of a segment file that changed, or that nothing proves unchanged. */
function changedRuns(
  file: ListedFile,
  stored: RelationEntry,
  { relation, changes, damage }: ChangeSearch,
): BlockRun[] {
  const { tablespaceOid, databaseOid, relfilenode, segment } = relation;
  const fork = { tablespaceOid, databaseOid, relfilenode, fork: 0 };
  const firstBlock = segment * RELATION_SEGMENT_BLOCKS;
  const blocks = file.sizeBytes / PAGE_BYTES;
  // What lies at or above a limit was made anew, also where WAL says nothing of it: a relation is extended without WAL.
  const limit = Math.max(0, (changes.limitBlock(fork) ?? Infinity) - firstBlock);
  const readFrom = Math.min(blocks, stored.sizeBytes / PAGE_BYTES, limit);
  const changed = changes.changedBlocks(fork, firstBlock, firstBlock + readFrom);
  const runs = runsOf(changed, -firstBlock);
  if (damage.size > 0)
    return joinRuns(runs, lostRuns(stored.extents, readFrom, damage), { readFrom, blocks });
  return withTail(runs, readFrom, blocks);
}

function withTail(runs: BlockRun[], readFrom: number, blocks: number): BlockRun[] {
  const last = runs.at(-1);
  if (readFrom === blocks) return runs;
  if (last === undefined || last.first + last.count < readFrom) {
    return [...runs, { first: readFrom, count: blocks - readFrom }];
  }
  return [...runs.slice(0, -1), { first: last.first, count: blocks - last.first }];
}

/** Runs that may overlap, as ascending runs that do not, and everything from `readFrom` on. */
function joinRuns(
  first: readonly BlockRun[],
  second: readonly BlockRun[],
  { readFrom, blocks }: { readonly readFrom: number; readonly blocks: number },
): BlockRun[] {
  const joined: { first: number; count: number }[] = [];
  for (const run of [...first, ...second].toSorted((one, other) => one.first - other.first)) {
    const last = joined.at(-1);
    if (last === undefined || last.first + last.count < run.first) joined.push({ ...run });
    else last.count = Math.max(last.count, run.first + run.count - last.first);
  }
  return withTail(joined, readFrom, blocks);
}

/** Blocks below `end` whose frame is known to be lost. */
function lostRuns(extents: readonly PageExtent[], end: number, damage: KnownDamage): BlockRun[] {
  return clipExtents(extents, 0, end)
    .filter((extent) => isLost(extent, damage))
    .map(({ firstBlock, pages }) => ({ first: firstBlock, count: pages }));
}

function soundExtents(extents: readonly PageExtent[], damage: KnownDamage): readonly PageExtent[] {
  return damage.size === 0 ? extents : extents.filter((extent) => !isLost(extent, damage));
}

function isLost(
  { pack, frame }: { readonly pack: string; readonly frame: number },
  damage: KnownDamage,
): boolean {
  const lost = damage.get(pack);
  return lost === 'all' || lost?.has(frame) === true;
}

function isSound({ extents }: FileEntry | RelationEntry, damage: KnownDamage): boolean {
  return damage.size === 0 || !extents.some((extent) => isLost(extent, damage));
}

/** The parent's entry when the file is the very same one and was not touched since. */
function untouchedEntry(
  file: ListedFile,
  parent: MapEntry | null,
  damage: KnownDamage,
): MapEntry | null {
  if (parent === null || file.identity === null) return null;
  if (parent.kind !== file.kind || (parent.kind !== 'file' && parent.kind !== 'relation'))
    return null;
  if (parent.identity === null || Buffer.compare(parent.identity, file.identity) !== 0) return null;
  if (parent.sizeBytes !== file.sizeBytes || !isSound(parent, damage)) return null;
  return { ...parent, mode: file.mode, modifiedMs: file.modifiedMs };
}

/** Directories and links have no content to read. */
export function plainEntry(file: Omit<ListedFile, 'sizeBytes' | 'identity'>): MapEntry {
  const { path, mode, modifiedMs, target } = file;
  const facts = { path, mode, modifiedMs, sizeBytes: 0 };
  return file.kind === 'link'
    ? { ...facts, kind: 'link', target: target ?? '' }
    : { ...facts, kind: 'directory' };
}
