/** What a delta restore finds in a target, and what it decides to delete, to compare and to leave alone. */
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { exampleManifest, storeBackup } from '../../test/support/stored-backup.ts';
import type { WalInventory } from '../catalog/wal-inventory.ts';
import { toLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import type { Manifest } from '../repository/manifest.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { DeltaTarget } from './delta-target.ts';
import type { Locations } from './locations.ts';
import { MapReader } from './map-reader.ts';
import { planDelta, type DeltaSources, type PlannedDelta } from './plan-delta.ts';
import { removePlanned } from './removals.ts';
import { moveUnstoredWal } from './unstored-wal.ts';

const PAGE = 8192;
const SEGMENT_BYTES = 1024 * 1024;
const VERSION_FOLDER = 'PG_18_202506291';
const SYSTEM = exampleManifest({}).systemIdentifier;
const SIGNAL = new AbortController().signal;
const TARGET: DeltaTarget = {
  kind: 'cluster',
  control: null,
  walDirectory: null,
  tablespaces: new Map(),
  folders: new Set(),
};

let folder: string;
let target: string;
let store: ObjectStore;
let manifest: Manifest;

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'walnut-plan-delta-')));
  target = join(folder, 'data');
  store = openMemoryStore();
  const folders = [
    'base',
    'base/5',
    'global',
    'log',
    'pg_stat_tmp',
    'pg_tblspc',
    'pg_tblspc/16400',
    'pg_wal',
  ];
  const entries = folders.map((path): MapEntry => ({
    kind: 'directory',
    path,
    mode: 0o700,
    sizeBytes: 0,
    modifiedMs: 0,
  }));
  const link: MapEntry = {
    kind: 'link',
    path: 'conf.d',
    mode: 0o777,
    sizeBytes: 0,
    modifiedMs: 0,
    target: '/etc/pg',
  };
  manifest = await storeBackup({
    store,
    entries: [...entries, link],
    files: [
      { path: 'base/5/1259', content: Buffer.alloc(4 * PAGE, 1), kind: 'relation' },
      { path: 'base/5/1259.1', content: Buffer.alloc(PAGE, 1), kind: 'relation' },
      { path: 'base/5/PG_VERSION', content: Buffer.from('18\n') },
      {
        path: `pg_tblspc/16400/${VERSION_FOLDER}/5/16401`,
        content: Buffer.alloc(2 * PAGE, 1),
        kind: 'relation',
      },
      { path: 'postgresql.conf', content: Buffer.from('port = 1\n') },
    ],
  });
  for (const path of folders.slice(0, -2)) mkdirSync(join(target, path), { recursive: true });
  mkdirSync(join(target, 'pg_wal/archive_status'), { recursive: true });
  mkdirSync(join(folder, 'fast', VERSION_FOLDER, '5'), { recursive: true });
  symlinkSync(join(folder, 'fast'), join(target, 'pg_tblspc/16400'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(path: string, content: string | Buffer = 'x'): void {
  const place = join(target, path);
  mkdirSync(dirname(place), { recursive: true });
  writeFileSync(place, content);
}

function locations(parts: Partial<Locations> = {}): Locations {
  const tablespaces = [{ oid: 16_400, name: 'fast', directory: join(folder, 'fast') }];
  return { dataDirectory: target, tablespaces, walDirectory: null, ...parts };
}

/** What the repository holds: of timeline 1 segments 2 and 3 whole, and 100 bytes of 4. */
const INVENTORY = {
  server: 'shop',
  segmentBytes: SEGMENT_BYTES,
  incarnation: { systemIdentifier: SYSTEM, majorVersion: 18, walSegmentBytes: SEGMENT_BYTES },
  histories: new Map([[toTimelineId(1), {}]]),
  timelines: new Map([
    [
      toTimelineId(1),
      {
        runs: [{ first: 2n, last: 3n }],
        open: [{ number: 4n, end: toLsn(4n * 1048576n + 100n), parts: [] }],
      },
    ],
  ]),
} as unknown as WalInventory;

async function plan(parts: Partial<DeltaSources> = {}): Promise<PlannedDelta> {
  return await planDelta(
    {
      map: new MapReader(store, manifest),
      locations: locations(),
      links: new Map(),
      storedWal: { inventory: INVENTORY, fromLsn: toLsn(2n * 1048576n) },
      now: new Date('2026-11-25T21:00:00.123Z'),
      ...parts,
    },
    TARGET,
  );
}

function deleted({ removals }: PlannedDelta): string[] {
  return [...removals].map(({ place }) => place.replace(`${folder}/`, '')).toSorted();
}

/** A WAL page of a segment that says it belongs at `number`. */
function walPage(number: bigint, { used = PAGE, system = SYSTEM } = {}): Buffer {
  const page = Buffer.alloc(PAGE);
  page.fill(1, 40, used);
  page.writeUInt16LE(0xd118, 0);
  page.writeUInt16LE(2, 2);
  page.writeUInt32LE(1, 4);
  page.writeBigUInt64LE(number * BigInt(SEGMENT_BYTES), 8);
  page.writeBigUInt64LE(BigInt(system), 24);
  page.writeUInt32LE(SEGMENT_BYTES, 32);
  page.writeUInt32LE(PAGE, 36);
  return page;
}

describe('the plan of a delta restore', () => {
  test('deletes by name what the backup does not have, and nothing else', async () => {
    for (const path of [
      'PG_VERSION.old',
      'base/5/1259',
      'base/5/1259_vm',
      'base/5/1260',
      'base/77/1259',
      'log/today.log',
      'pg_stat_tmp/global.stat',
      'pg_replslot/slot/state',
      'standby.signal',
      'backup_label.old',
      'postmaster.opts',
      'walnut-restore-unfinished.places',
    ]) {
      put(path);
    }
    const planned = await plan();
    expect(deleted(planned)).toEqual([
      'data/PG_VERSION.old',
      'data/backup_label.old',
      'data/base/5/1259_vm',
      'data/base/5/1260',
      'data/base/77',
      'data/base/77/1259',
      'data/log/today.log',
      'data/pg_replslot/slot',
      'data/pg_replslot/slot/state',
      'data/pg_stat_tmp/global.stat',
      'data/postmaster.opts',
      'data/standby.signal',
      'data/walnut-restore-unfinished.places',
    ]);
    expect(planned.removals.bytes).toBe(11);
    await removePlanned(planned.removals, SIGNAL);
    expect(readdirSync(join(target, 'base'))).toEqual(['5']);
    expect(readdirSync(join(target, 'base/5'))).toEqual(['1259']);
    expect(readdirSync(join(target, 'pg_replslot'))).toEqual([]);
    expect(deleted(await plan())).toEqual([]);
  });

  test('leaves its own mark, the lock, pg_control and lost+found to others', async () => {
    for (const path of [
      'walnut-restore-unfinished',
      'postmaster.pid',
      'global/pg_control',
      'lost+found/x',
    ])
      put(path);
    expect(deleted(await plan())).toEqual([]);
  });

  test('compares what stands there, and needs room only for what grows', async () => {
    put('base/5/1259', Buffer.alloc(3 * PAGE, 1));
    put('base/5/1259.1', Buffer.alloc(5 * PAGE, 1));
    put('base/5/1260', Buffer.alloc(7 * PAGE, 1));
    const planned = await plan();
    expect(planned).toMatchObject({ comparedFiles: 2, comparedBytes: 4 * PAGE });
    // One page of 1259, PG_VERSION, postgresql.conf; what 1260 takes is free by then.
    expect(planned.growthByRoot.get(target)).toBe(PAGE + 3 + 9 - 7 * PAGE);
    expect(planned.growthByRoot.get(join(folder, 'fast'))).toBe(2 * PAGE);
    truncateSync(join(target, 'base/5/1259'), 0);
    truncateSync(join(target, 'base/5/1259'), 4 * PAGE);
    expect((await plan()).growthByRoot.get(target)).toBe(4 * PAGE + 3 + 9 - 7 * PAGE);
  });

  test('takes away what is of another kind, without following a link', async () => {
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'precious'), 'x');
    rmSync(join(target, 'log'), { recursive: true });
    symlinkSync(outside, join(target, 'log'));
    symlinkSync(join(outside, 'precious'), join(target, 'base/5/1259'));
    put('base/5/PG_VERSION/deep/file');
    rmSync(join(target, 'global'), { recursive: true });
    put('global');
    symlinkSync(outside, join(target, 'pg_tblspc/99999'));
    const planned = await plan();
    expect(deleted(planned)).toEqual([
      'data/base/5/1259',
      'data/base/5/PG_VERSION',
      'data/base/5/PG_VERSION/deep',
      'data/base/5/PG_VERSION/deep/file',
      'data/global',
      'data/log',
      'data/pg_tblspc/99999',
    ]);
    await removePlanned(planned.removals, SIGNAL);
    expect(readdirSync(outside)).toEqual(['precious']);
  });

  test('makes a file with a second name anew, so that the other one keeps its content', async () => {
    put('base/5/1259', Buffer.alloc(4 * PAGE, 1));
    linkSync(join(target, 'base/5/1259'), join(folder, 'snapshot'));
    const planned = await plan();
    expect(deleted(planned)).toEqual(['data/base/5/1259']);
    expect(planned.comparedFiles).toBe(0);
  });

  test('of a tablespace touches only the folder of this version, behind the link of this cluster', async () => {
    for (const path of [
      `${VERSION_FOLDER}/5/16401`,
      `${VERSION_FOLDER}/5/16402`,
      'PG_17_202406281/5/16401',
      'README',
    ]) {
      const place = join(folder, 'fast', path);
      mkdirSync(dirname(place), { recursive: true });
      writeFileSync(place, 'x');
    }
    expect(deleted(await plan())).toEqual([`fast/${VERSION_FOLDER}/5/16402`]);
    const elsewhere = { oid: 16_400, name: 'fast', directory: join(folder, 'new') };
    const moved = await plan({ locations: locations({ tablespaces: [elsewhere] }) });
    expect(deleted(moved)).toEqual(['data/pg_tblspc/16400']);
  });

  test('finds a tablespace and WAL of an interrupted restore before their links are made', async () => {
    rmSync(join(target, 'pg_tblspc'), { recursive: true });
    rmSync(join(target, 'pg_wal'), { recursive: true });
    writeFileSync(join(folder, 'fast', VERSION_FOLDER, '5/16402'), 'x');
    mkdirSync(join(folder, 'wal/archive_status'), { recursive: true });
    for (const name of ['00000001.history', 'precious', 'archive_status/00000001.history.done']) {
      writeFileSync(join(folder, 'wal', name), 'x');
    }
    const planned = await plan({ locations: locations({ walDirectory: join(folder, 'wal') }) });
    expect(deleted(planned)).toEqual([
      `fast/${VERSION_FOLDER}/5/16402`,
      'wal/00000001.history',
      'wal/archive_status/00000001.history.done',
    ]);
  });

  test('a link of the backup stays where it stands, unless --link wants another', async () => {
    symlinkSync(folder, join(target, 'conf.d'));
    const kept = await plan();
    expect([...kept.keptLinks]).toEqual(['conf.d']);
    expect(deleted(kept)).toEqual([]);
    expect([...(await plan({ links: new Map([['conf.d', folder]]) })).keptLinks]).toEqual([
      'conf.d',
    ]);
    const other = await plan({ links: new Map([['conf.d', join(folder, 'fast')]]) });
    expect(deleted(other)).toEqual(['data/conf.d']);
    expect(readlinkSync(join(target, 'conf.d'))).toBe(folder);
  });

  test('a plain pg_wal makes room for a link, with all that is in it', async () => {
    mkdirSync(join(folder, 'wal'));
    put('pg_wal/000000010000000000000002', 'old');
    const planned = await plan({ locations: locations({ walDirectory: join(folder, 'wal') }) });
    expect(deleted(planned)).toEqual([
      'data/pg_wal',
      'data/pg_wal/000000010000000000000002',
      'data/pg_wal/archive_status',
    ]);
    await removePlanned(planned.removals, SIGNAL);
    expect(readdirSync(target)).not.toContain('pg_wal');
  });

  test('WAL that the repository lacks is moved aside, all other WAL is deleted', async () => {
    const rest = Buffer.alloc(SEGMENT_BYTES - PAGE);
    const name = (timeline: number, number: number): string =>
      `${String(timeline).padStart(8, '0')}00000000${number.toString(16).toUpperCase().padStart(8, '0')}`;
    const unstored = [name(1, 4), name(1, 5), name(2, 4), '00000002.history'];
    put(`pg_wal/${name(1, 1)}`, Buffer.concat([walPage(1n), rest]));
    put(`pg_wal/${name(1, 3)}`, Buffer.concat([walPage(3n), rest]));
    put(`pg_wal/${name(1, 4)}`, Buffer.concat([walPage(4n, { used: 101 }), rest]));
    put(`pg_wal/${name(1, 5)}`, Buffer.concat([walPage(5n), rest]));
    // Recycled, of another cluster, too short to be WAL, and cut off where the repository ends.
    put(`pg_wal/${name(1, 6)}`, Buffer.concat([walPage(2n), rest]));
    put(`pg_wal/${name(1, 7)}`, Buffer.concat([walPage(7n, { system: '1' }), rest]));
    put(`pg_wal/${name(1, 8)}`, Buffer.alloc(10));
    put(`pg_wal/${name(1, 4)}.partial`, Buffer.concat([walPage(4n, { used: 100 }), rest]));
    put(`pg_wal/${name(2, 4)}`, Buffer.concat([walPage(4n), rest]));
    put('pg_wal/00000001.history');
    put('pg_wal/00000002.history');
    put('pg_wal/walnut-unstored-20200101T000000Z/precious');
    const planned = await plan();
    const places = unstored.map((each) => join(target, 'pg_wal', each));
    expect(planned.unstoredWal.places.toSorted()).toEqual(places.toSorted());
    expect(planned.removals.count).toBe(7);
    await moveUnstoredWal(planned.unstoredWal, null);
    await removePlanned(planned.removals, SIGNAL);
    const saved = 'walnut-unstored-20261125T210000Z';
    expect(readdirSync(join(target, 'pg_wal')).toSorted()).toEqual([
      'archive_status',
      'walnut-unstored-20200101T000000Z',
      saved,
    ]);
    expect(readdirSync(join(target, 'pg_wal', saved)).toSorted()).toEqual(unstored.toSorted());
  });

  test('what changed its kind, or a folder that was filled, since the plan stops the deletion', async () => {
    put('base/77/1259');
    const planned = await plan();
    put('base/77/1260');
    await expect(removePlanned(planned.removals, SIGNAL)).rejects.toThrow(
      'base/77: it changed while it was restored',
    );
    rmSync(join(target, 'base/77'), { recursive: true });
    await removePlanned(planned.removals, SIGNAL);
    put('base/77/1259/below');
    await expect(removePlanned(planned.removals, SIGNAL)).rejects.toThrow(
      'base/77/1259: it changed',
    );
  });
});
