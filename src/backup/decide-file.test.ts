import { RELATION_SEGMENT_BLOCKS } from '../postgres/cluster/relation-file.ts';
import { describe, expect, test } from 'vitest';
import type { KnownDamage } from '../catalog/known-damage.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { FileEntry, MapEntry, PageExtent, RelationEntry } from '../repository/map-chunk.ts';
import { decideFile, type CopyRules, type FileDecision } from './decide-file.ts';
import type { ListedFile } from './list-files.ts';
import type { PageChanges } from './page-changes.ts';

const PACK = 'shop/backup/20261122T191500Z-F/pack-000001';
const FILE = { mode: 0o600, modifiedMs: 2000, target: null, identity: null };
const IDENTITY = new Uint8Array(16).fill(7);
const NO_DAMAGE: KnownDamage = new Map();

type Told = {
  readonly blocks?: readonly number[];
  readonly limit?: number | null;
  readonly isRewritten?: boolean;
};

/** Changes of the main fork of relation 1000 in database 5. */
function changes({ blocks = [], limit = null, isRewritten = false }: Told = {}): PageChanges {
  const isOurs = ({ relfilenode, fork }: { relfilenode: number; fork: number }): boolean =>
    relfilenode === 1000 && fork === 0;
  return {
    limitBlock: (fork) => (isOurs(fork) ? limit : null),
    changedBlocks: (fork, begin, end) =>
      Uint32Array.from(isOurs(fork) ? blocks.filter((at) => at >= begin && at < end) : []),
    isRewritten: (tablespaceOid, databaseOid) =>
      isRewritten && tablespaceOid === 1663 && databaseOid === 5,
  };
}

function rules(told: Told | null, more: Partial<CopyRules> = {}): CopyRules {
  return {
    changes: told === null ? null : changes(told),
    paranoid: false,
    damage: NO_DAMAGE,
    ...more,
  };
}

function relation(blocks: number, path = 'base/5/1000'): ListedFile {
  return { ...FILE, path, kind: 'relation', sizeBytes: blocks * PAGE_BYTES };
}

/** Stored in frames of 32 pages. */
function stored(blocks: number, path = 'base/5/1000'): RelationEntry {
  const extents: PageExtent[] = [];
  for (let at = 0; at < blocks; at += 32) {
    const pages = Math.min(32, blocks - at);
    extents.push({ firstBlock: at, pages, pack: PACK, frame: at / 32, position: 0 });
  }
  const facts = { path, mode: 0o600, modifiedMs: 1000, sizeBytes: blocks * PAGE_BYTES };
  return { ...facts, kind: 'relation', identity: null, extents };
}

function decide(file: ListedFile, parent: MapEntry | null, wanted: CopyRules): FileDecision {
  return decideFile(file, { parent, attempts: [] }, wanted);
}

/** The blocks that are read, and those that are taken from the parent unread. */
function readAndKept(decision: FileDecision, blocks: number): { read: number[]; kept: number[] } {
  if (decision.kind === 'known') {
    const { entry } = decision;
    return { read: [], kept: entry.kind === 'relation' ? blocksOf(entry.extents) : [] };
  }
  const all = Array.from({ length: blocks }, (_, block) => block);
  const read = decision.runs?.flatMap(({ first, count }) =>
    Array.from({ length: count }, (_, index) => first + index),
  );
  return { read: read ?? all, kept: blocksOf(decision.base) };
}

function blocksOf(extents: readonly PageExtent[]): number[] {
  return extents.flatMap(({ firstBlock, pages }) =>
    Array.from({ length: pages }, (_, page) => firstBlock + page),
  );
}

function range(begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, index) => begin + index);
}

describe('a relation whose changes are known', () => {
  test('is not read when nothing of it changed, and keeps its new size and time', () => {
    const decision = decide(relation(100), stored(100), rules({}));
    expect(decision).toMatchObject({ kind: 'known', entry: { modifiedMs: 2000 } });
    expect(readAndKept(decision, 100)).toEqual({ read: [], kept: range(0, 100) });
  });

  test('is read only where blocks changed', () => {
    const decision = decide(relation(100), stored(100), rules({ blocks: [3, 4, 70] }));
    const kept = range(0, 100).filter((block) => ![3, 4, 70].includes(block));
    expect(readAndKept(decision, 100)).toEqual({ read: [3, 4, 70], kept });
  });

  test('is read beyond the length that the parent has, told by WAL or not', () => {
    const decision = decide(relation(110), stored(100), rules({ blocks: [105] }));
    expect(readAndKept(decision, 110)).toEqual({ read: range(100, 110), kept: range(0, 100) });
  });

  // POSTGRES: a relation truncated and extended again by pages that WAL never mentions brought deleted rows back.
  test('is read from the lowest limit block on, told by WAL or not', () => {
    const decision = decide(relation(100), stored(100), rules({ limit: 40, blocks: [2, 50] }));
    const kept = range(0, 40).filter((block) => block !== 2);
    expect(readAndKept(decision, 100)).toEqual({ read: [2, ...range(40, 100)], kept });
  });

  test('is read whole when it was created in the range, for a file number may be used again', () => {
    const decision = decide(relation(100), stored(100), rules({ limit: 0 }));
    expect(readAndKept(decision, 100)).toEqual({ read: range(0, 100), kept: [] });
  });

  test('keeps nothing behind its end when it became shorter', () => {
    const decision = decide(relation(10), stored(100), rules({}));
    expect(readAndKept(decision, 10)).toEqual({ read: [], kept: range(0, 10) });
  });

  test('is read whole when the parent has no such file', () => {
    const decision = decide(relation(10), null, rules({}));
    expect(readAndKept(decision, 10)).toEqual({ read: range(0, 10), kept: [] });
  });

  test('is read whole when its database was copied as files in the range', () => {
    const decision = decide(relation(10), stored(10), rules({ isRewritten: true }));
    expect(readAndKept(decision, 10)).toEqual({ read: range(0, 10), kept: [] });
  });

  test('counts its blocks through all segments', () => {
    const path = 'base/5/1000.1';
    const told = { blocks: [3, RELATION_SEGMENT_BLOCKS + 5], limit: RELATION_SEGMENT_BLOCKS + 90 };
    const decision = decide(relation(100, path), stored(100, path), rules(told));
    expect(readAndKept(decision, 100).read).toEqual([5, ...range(90, 100)]);
  });

  test('in a segment behind the limit is read whole', () => {
    const path = 'base/5/1000.1';
    const decision = decide(relation(100, path), stored(100, path), rules({ limit: 7 }));
    expect(readAndKept(decision, 100)).toEqual({ read: range(0, 100), kept: [] });
  });

  test('is read where a frame of the parent is known to be lost', () => {
    const damage = new Map([[PACK, new Set([1])]]);
    const decision = decide(relation(100), stored(100), rules({ blocks: [3, 40] }, { damage }));
    expect(readAndKept(decision, 100).read).toEqual([3, ...range(32, 64)]);
    const all = new Map([[PACK, 'all' as const]]);
    const whole = decide(relation(100), stored(100), rules({}, { damage: all }));
    expect(readAndKept(whole, 100)).toEqual({ read: range(0, 100), kept: [] });
  });
});

// POSTGRES: heap changes clear bits of visibility maps without a block reference before 17.11 and 18.6.
test.each(['base/5/1000_vm', 'base/5/1000_fsm', 'base/5/1000_init'])('%s is read whole', (path) => {
  const decision = decide(relation(10, path), stored(10, path), rules({}));
  expect(decision).toMatchObject({ kind: 'read', runs: null, base: [] });
  expect(decision.kind === 'read' && decision.earlier).toEqual([stored(10, path).extents]);
});

test('without known changes every page is read, beside where it may be stored already', () => {
  const decision = decide(relation(100), stored(100), rules(null));
  expect(decision).toMatchObject({ kind: 'read', runs: null, base: [] });
  expect(decision.kind === 'read' && decision.earlier).toEqual([stored(100).extents]);
});

test('pages of a dead attempt are candidates and never taken unread', () => {
  const attempt = stored(100).extents;
  const earlier = { parent: null, attempts: [attempt] };
  const decision = decideFile(relation(100), earlier, rules({}));
  expect(decision).toMatchObject({ kind: 'read', runs: null, base: [], earlier: [attempt] });
});

describe('a file that WAL does not tell of', () => {
  const listed: ListedFile = {
    ...FILE,
    path: 'pg_xact/0000',
    kind: 'file',
    sizeBytes: 100,
    identity: IDENTITY,
  };
  const known: FileEntry = {
    path: 'pg_xact/0000',
    kind: 'file',
    mode: 0o600,
    modifiedMs: 1000,
    sizeBytes: 100,
    identity: IDENTITY,
    hash: new Uint8Array(32),
    extents: [{ bytes: 100, pack: PACK, frame: 9, position: 0 }],
  };

  test('is left unread when it is the same file, untouched', () => {
    expect(decide(listed, known, rules({}))).toMatchObject({ kind: 'known' });
    const vm = 'base/5/1000_vm';
    const parent = { ...stored(10, vm), identity: IDENTITY };
    const untouched = decide({ ...relation(10, vm), identity: IDENTITY }, parent, rules({}));
    expect(readAndKept(untouched, 10)).toEqual({ read: [], kept: range(0, 10) });
  });

  test.each([
    ['its identity is another', { ...listed, identity: new Uint8Array(16) }, known],
    ['it was changed a moment ago', { ...listed, identity: null }, known],
    ['the parent took it a moment after a change', listed, { ...known, identity: null }],
    ['its size is another', { ...listed, sizeBytes: 99 }, known],
    ['the parent had no such file', listed, null],
  ])('is read when %s', (_why, file, parent) => {
    expect(decide(file, parent, rules({}))).toMatchObject({ kind: 'read', runs: null });
  });

  test('is read with --paranoid', () => {
    const decision = decide(listed, known, rules({}, { paranoid: true }));
    expect(decision).toMatchObject({ kind: 'read', earlierFile: known });
  });

  test('is read, and compared with nothing, when a frame of it is known to be lost', () => {
    const damage = new Map([[PACK, new Set([9])]]);
    const decision = decide(listed, known, rules({}, { damage }));
    expect(decision).toMatchObject({ kind: 'read', earlierFile: null });
  });
});
