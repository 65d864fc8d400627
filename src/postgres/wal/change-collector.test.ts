import { describe, expect, test } from 'vitest';
import { toLsn } from '../lsn.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../version.ts';
import { ChangeCollector, type RecordBounds } from './change-collector.ts';
import type { ForkIdentity } from './change-map.ts';
import { tryParseRecord } from './record-parser.ts';
import { walVersionOf } from './versions/lookup.ts';
import { WalRecord } from './wal-record.ts';

const BASE = toLsn(0x1000_0000n);
const XLOG = 0;
const TRANSACTION = 1;
const STORAGE = 2;
const DATABASE = 4;
const HEAP = 10;
const SPECIAL = 0x01;

type RecordParts = {
  readonly manager: number;
  readonly info: number;
  readonly words?: readonly number[];
  readonly references?: readonly { readonly fork: number; readonly block: number }[];
  readonly prev?: number;
  readonly offset?: number;
};

const RELATION: ForkIdentity = {
  tablespaceOid: 1663,
  databaseOid: 5,
  relfilenode: 16_384,
  fork: 0,
};
const RELATION_WORDS = [1663, 5, 16_384];
const forkOf = (fork: number): ForkIdentity => ({ ...RELATION, fork });

function recordOf(major: MajorVersion, parts: RecordParts): WalRecord {
  const { manager, info, words = [], references = [], prev = 1, offset = 64 } = parts;
  const bytes = Buffer.alloc(24 + references.length * 20 + 5 + words.length * 4);
  let at = 24;
  for (const [id, { fork, block }] of references.entries()) {
    bytes.writeUInt8(id, at);
    bytes.writeUInt8(fork, at + 1);
    for (const [position, value] of [...RELATION_WORDS, block].entries()) {
      bytes.writeUInt32LE(value, at + 4 + position * 4);
    }
    at += 20;
  }
  bytes.writeUInt8(254, at);
  bytes.writeUInt32LE(words.length * 4, at + 1);
  for (const [position, word] of words.entries()) {
    bytes.writeUInt32LE(word >>> 0, at + 5 + position * 4);
  }
  const record = new WalRecord(walVersionOf(major), BASE);
  record.offset = offset;
  record.prev = { high: 0, low: prev };
  record.info = info;
  record.resourceManager = manager;
  record.totalBytes = bytes.length;
  record.bytes = bytes;
  record.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  record.heldBytes = bytes.length;
  return record;
}

function collect(
  major: MajorVersion,
  records: readonly RecordParts[],
  bounds: RecordBounds = {},
): ChangeCollector {
  const collector = new ChangeCollector(BASE, bounds);
  for (const parts of records) {
    const record = recordOf(major, parts);
    const fact = tryParseRecord(record);
    if (fact === false) throw new Error('malformed');
    collector.add(record, fact);
  }
  return collector;
}

const reasonsOf = (collector: ChangeCollector): string[] =>
  collector.unusable.list().map(({ reason }) => reason);

describe.each(SUPPORTED_MAJORS)('WAL of %i', (major) => {
  const { createFileCopy, createWalLog, drop } = walVersionOf(major).databaseOperations;

  test('changes the blocks that its records refer to, free space maps left out', () => {
    const references = [
      { fork: 0, block: 9 },
      { fork: 1, block: 2 },
      { fork: 2, block: 3 },
      { fork: 3, block: 0 },
    ];
    const { map } = collect(major, [{ manager: HEAP, info: 0, references }]);
    const blocks = [0, 1, 2, 3].map((fork) => [...map.changedBlocks(forkOf(fork), 0, 100)]);
    expect(blocks).toEqual([[9], [], [3], [0]]);
  });

  test('that creates a fork makes its limit block 0', () => {
    const create = (fork: number): RecordParts => ({
      manager: STORAGE,
      info: 0x10 | SPECIAL,
      words: [...RELATION_WORDS, fork],
    });
    const { map, unusable } = collect(major, [create(0), create(1), create(3)]);
    expect([0, 1, 2, 3].map((fork) => map.limitBlock(forkOf(fork)))).toEqual([0, null, null, 0]);
    expect(unusable.list()).toEqual([]);
  });

  test.each([
    [7, 1000, { main: 1000, map: 1 }],
    [1, 1000, { main: 1000, map: null }],
    [2, 1000, { main: null, map: 1 }],
    [4, 1000, { main: null, map: null }],
    [7, 0, { main: 0, map: 0 }],
    [7, 32_672, { main: 32_672, map: 1 }],
    [7, 32_673, { main: 32_673, map: 2 }],
  ])(
    'that truncates with flags %i to %i blocks limits main fork and visibility map to %o',
    (flags, blocks, limits) => {
      const { map } = collect(major, [
        { manager: STORAGE, info: 0x20 | SPECIAL, words: [blocks, ...RELATION_WORDS, flags] },
      ]);
      expect(map.limitBlock(forkOf(0))).toBe(limits.main);
      expect(map.limitBlock(forkOf(1))).toBeNull();
      expect(map.limitBlock(forkOf(2))).toBe(limits.map);
    },
  );

  test('that grows again after it was truncated keeps the lowest limit', () => {
    const truncate = (blocks: number): RecordParts => ({
      manager: STORAGE,
      info: 0x20 | SPECIAL,
      words: [blocks, ...RELATION_WORDS, 7],
    });
    const { map } = collect(major, [truncate(9), truncate(5), truncate(80)]);
    expect(map.limitBlock(forkOf(0))).toBe(5);
  });

  test.each([
    ['commits', 0x00],
    ['rolls back', 0x20],
    ['commits what was prepared', 0x30],
    ['rolls back what was prepared', 0x40],
  ])('that %s drops relations with all their forks', (_, operation) => {
    const hasInfo = 0x80;
    const relations = 0x04;
    const { map, unusable } = collect(major, [
      {
        manager: TRANSACTION,
        info: operation | hasInfo | SPECIAL,
        words: [0, 0, relations, 1, ...RELATION_WORDS],
      },
    ]);
    expect([0, 1, 2, 3].map((fork) => map.limitBlock(forkOf(fork)))).toEqual([0, null, 0, 0]);
    expect(unusable.list()).toEqual([]);
  });

  test('that creates a database makes it one to be read whole', () => {
    const { map, unusable } = collect(major, [
      { manager: DATABASE, info: createFileCopy | SPECIAL, words: [16_400, 1663, 1, 1663] },
      ...(createWalLog === undefined
        ? []
        : [{ manager: DATABASE, info: createWalLog, words: [16_401, 1663] }]),
    ]);
    expect(map.isRewritten(1663, 16_400)).toBe(true);
    expect(map.isRewritten(1663, 16_401)).toBe(createWalLog !== undefined);
    expect(unusable.list()).toEqual([]);
  });

  test('that drops a database makes it one to be read whole in each tablespace', () => {
    const { map, unusable } = collect(major, [
      { manager: DATABASE, info: drop | SPECIAL, words: [16_400, 2, 1663, 16_390] },
    ]);
    expect(map.rewrittenDatabases()).toEqual([
      { tablespaceOid: 1663, databaseOid: 16_400 },
      { tablespaceOid: 16_390, databaseOid: 16_400 },
    ]);
    expect(unusable.list()).toEqual([]);
  });

  test.each([
    ['a custom resource manager', 200, 0x00],
    ['a known one in an unknown way', HEAP, 0x00],
    ['the storage manager in an unknown way', STORAGE, 0x30],
    ['the database manager in an unknown way', DATABASE, 0x70],
    ['a transaction record of another kind', TRANSACTION, 0x50],
  ])('by which %s changes files otherwise is not enough', (_, manager, operation) => {
    expect(reasonsOf(collect(major, [{ manager, info: operation | SPECIAL }]))).toEqual([
      'special-record',
    ]);
    expect(reasonsOf(collect(major, [{ manager, info: operation }]))).toEqual([]);
  });

  test('whose block references cannot be read is not enough', () => {
    const record = recordOf(major, { manager: HEAP, info: 0, references: [{ fork: 7, block: 1 }] });
    const collector = new ChangeCollector(BASE);
    collector.add(record, undefined);
    expect(reasonsOf(collector)).toEqual(['unreadable-record']);
  });

  test('of wal_level minimal is not enough, as a change of settings tells it', () => {
    const settings = (level: number): RecordParts => ({
      manager: XLOG,
      info: 0x60,
      words: [100, 8, 10, 0, 64, level, 0],
    });
    expect(reasonsOf(collect(major, [settings(0)]))).toEqual(['minimal-wal']);
    expect(reasonsOf(collect(major, [settings(1), settings(2)]))).toEqual([]);
  });

  test.each([
    ['an online checkpoint', 0x10],
    ['a shutdown checkpoint', 0x00],
  ])('of wal_level minimal is not enough, as %s of 17 and later tells it', (_, operation) => {
    const checkpoint = (level: number): RecordParts => ({
      manager: XLOG,
      info: operation,
      words: [0, 0, 1, 1, 1, level, ...Array.from({ length: 16 }, () => 0)],
    });
    expect(reasonsOf(collect(major, [checkpoint(0)]))).toEqual(major >= 17 ? ['minimal-wal'] : []);
    expect(reasonsOf(collect(major, [checkpoint(1)]))).toEqual([]);
  });

  test('of wal_level minimal is not enough, as the end of a recovery in 17 and later tells it', () => {
    const parts = { manager: XLOG, info: 0x90, words: [0, 0, 2, 1, 0, 0] };
    expect(reasonsOf(collect(major, [parts]))).toEqual(major >= 17 ? ['minimal-wal'] : []);
  });

  test('that points back to nothing was begun anew and is not enough', () => {
    expect(reasonsOf(collect(major, [{ manager: HEAP, info: 0, prev: 0 }]))).toEqual(['wal-reset']);
  });
});

test('of wal_level minimal is not enough, as the start of a checkpoint in 17 and later tells it', () => {
  for (const major of [17, 18] as const) {
    expect(reasonsOf(collect(major, [{ manager: XLOG, info: 0xe0, words: [0] }]))).toEqual([
      'minimal-wal',
    ]);
    expect(reasonsOf(collect(major, [{ manager: XLOG, info: 0xe0, words: [1] }]))).toEqual([]);
  }
});

test('only records that begin within the bounds count', () => {
  const at = (offset: number): RecordParts => ({
    manager: HEAP,
    info: SPECIAL,
    offset,
    references: [{ fork: 0, block: offset }],
  });
  const bounds = { from: toLsn(BASE + 64n), to: toLsn(BASE + 128n) };
  const { map, unusable } = collect(18, [at(56), at(64), at(120), at(128)], bounds);
  expect([...map.changedBlocks(RELATION, 0, 1000)]).toEqual([64, 120]);
  expect(unusable.list()).toEqual([
    { reason: 'special-record', firstLsn: BASE + 64n, lastLsn: BASE + 120n },
  ]);
});
