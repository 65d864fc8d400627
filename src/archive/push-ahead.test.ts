import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import { expectedWal, fixtureSegment } from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { openFilesystemStore } from '../storage/filesystem/filesystem-store.ts';
import { prepareAhead, type AheadOutcome, type AheadRequest } from './push-ahead.ts';

const MAJOR = 18;
const NAMES = expectedWal(MAJOR).segments.filter((name) => name.startsWith('00000001'));
const [FIRST = '', SECOND = '', THIRD = ''] = NAMES;

let folder: string;
let archive: FixtureArchive;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-ahead-'));
  mkdirSync(join(folder, 'pg_wal/archive_status'), { recursive: true });
  archive = await makeFixtureArchive(MAJOR);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A segment as it waits in pg_wal. */
function wait(name: string, content: Uint8Array = fixtureSegment(MAJOR, name)): void {
  writeFileSync(join(folder, 'pg_wal', name), content);
  writeFileSync(join(folder, 'pg_wal/archive_status', `${name}.ready`), '');
}

async function push(more: Partial<AheadRequest> = {}): Promise<AheadOutcome> {
  const ahead = await prepareAhead({
    store: archive.store,
    server: 'shop',
    path: join(folder, 'pg_wal', FIRST),
    level: 1,
    directory: join(folder, 'ahead'),
    configuration: '1:2:3:4.000000005:6.000000007',
    jobs: 1,
    signal: new AbortController().signal,
    clockMs: () => 0,
    ...more,
  });
  try {
    return await ahead.push();
  } finally {
    await ahead.close();
  }
}

function marks(): string[] {
  return readdirSync(join(folder, 'ahead/shop')).toSorted();
}

async function isStored(name: string): Promise<boolean> {
  const { timelines } = await readWalInventory(archive.store, archive.scope);
  const number = BigInt(`0x${name.slice(16)}`);
  return [...timelines.values()].some(({ runs }) =>
    runs.some(({ first, last }) => first <= number && number <= last),
  );
}

describe('push ahead', () => {
  test('stores what waits and marks it, and touches nothing of the server', async () => {
    for (const name of [FIRST, SECOND, THIRD]) wait(name);
    const before = readdirSync(join(folder, 'pg_wal'), { recursive: true });
    const { files, problem } = await push();
    expect(files.toSorted()).toEqual([SECOND, THIRD]);
    expect(problem).toBeNull();
    expect(marks()).toEqual([SECOND, THIRD]);
    expect(await isStored(SECOND)).toBe(true);
    expect(await isStored(FIRST)).toBe(false);
    expect(readdirSync(join(folder, 'pg_wal'), { recursive: true })).toEqual(before);
  });

  test('a marker holds what the shim compares, and is for the user alone', async () => {
    wait(SECOND);
    await push({ incarnation: `${expectedWal(MAJOR).systemIdentifier}-18` });
    const path = join(folder, 'pg_wal', SECOND);
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    const time = (at: bigint): string => `${String(at).slice(0, -9)}.${String(at).slice(-9)}`;
    expect(readFileSync(join(folder, 'ahead/shop', SECOND), 'utf8')).toBe(
      [
        'walnut pushed ahead 1',
        'shop',
        `${expectedWal(MAJOR).systemIdentifier}-18`,
        '1:2:3:4.000000005:6.000000007',
        `${dev}:${ino}:${size}:${time(mtimeNs)}:${time(ctimeNs)}`,
        '',
      ].join('\n'),
    );
    expect(statSync(join(folder, 'ahead/shop', SECOND)).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'ahead')).mode & 0o777).toBe(0o700);
  });

  test('what is marked is not stored again; what changed since is', async () => {
    for (const name of [SECOND, THIRD]) wait(name);
    await push();
    expect((await push()).files).toEqual([]);
    utimesSync(join(folder, 'pg_wal', SECOND), 1, 1);
    expect((await push()).files).toEqual([SECOND]);
    expect(marks()).toEqual([SECOND, THIRD]);
  });

  test('markers that will not be asked for go, by name; what is no marker stays', async () => {
    for (const name of [SECOND, THIRD]) wait(name);
    await push();
    writeFileSync(join(folder, 'ahead/shop/notes'), '');
    rmSync(join(folder, 'pg_wal/archive_status', `${SECOND}.ready`));
    await push();
    expect(marks()).toEqual([THIRD, 'notes']);
  });

  test('a marker cut short by a crash is made anew', async () => {
    wait(SECOND);
    await push();
    writeFileSync(join(folder, 'ahead/shop', SECOND), 'walnut pushed ahead 1\nshop\n');
    expect(await push()).toEqual({ files: [SECOND], problem: null });
  });

  test('a damaged segment is not marked, ends it, and is told', async () => {
    wait(SECOND);
    const damaged = Buffer.from(fixtureSegment(MAJOR, THIRD));
    damaged.writeUInt8(damaged.readUInt8(70_000) ^ 1, 70_000);
    wait(THIRD, damaged);
    const { files, problem } = await push();
    expect(files).toEqual([SECOND]);
    expect(problem).toMatchObject({ code: 'object-damaged' });
    expect(problem?.message).toContain(`push ahead of ${FIRST}`);
    expect(marks()).toEqual([SECOND]);
    expect(await isStored(THIRD)).toBe(false);
  });

  test('after a failure no other file is begun', async () => {
    const names = NAMES.slice(1);
    for (const name of names) wait(name, Buffer.alloc(1024 * 1024));
    expect((await push()).files).toEqual([]);
    const put = vi.spyOn(archive.store, 'put').mockRejectedValue(new Error('no space'));
    for (const name of names) wait(name);
    expect((await push()).problem?.message).toContain('no space');
    expect(put.mock.calls.length).toBeLessThanOrEqual(2);
    expect(names.length).toBeGreaterThan(3);
  });

  test('other content than what is stored under the name is not marked', async () => {
    await archive.push(SECOND, fixtureSegment(MAJOR, SECOND));
    const other = Buffer.from(fixtureSegment(MAJOR, SECOND));
    other.writeUInt8(other.readUInt8(70_000) ^ 1, 70_000);
    wait(SECOND, other);
    expect((await push()).problem).not.toBeNull();
    expect(marks()).toEqual([]);
  });

  test('a file that is written while it is stored is not marked', async () => {
    wait(SECOND);
    const path = join(folder, 'pg_wal', SECOND);
    const put = archive.store.put.bind(archive.store);
    vi.spyOn(archive.store, 'put').mockImplementation(async (...words) => {
      await put(...words);
      utimesSync(path, 1, 1);
    });
    expect(await push()).toEqual({ files: [], problem: null });
    expect(marks()).toEqual([]);
  });

  test.each([
    ['that others can write', () => chmodSync(join(folder, 'ahead'), 0o777)],
    [
      'that is a file',
      () => {
        rmSync(join(folder, 'ahead'), { recursive: true });
        writeFileSync(join(folder, 'ahead'), '');
      },
    ],
  ])('a folder %s is not used, and nothing is stored', async (_, spoil) => {
    mkdirSync(join(folder, 'ahead'));
    spoil();
    wait(SECOND);
    const { files, problem } = await push();
    expect(files).toEqual([]);
    expect(problem?.hint).toContain('--ahead');
    expect(await isStored(SECOND)).toBe(false);
  });

  test('a folder that cannot be made is told', async () => {
    wait(SECOND);
    const { problem } = await push({ directory: '/proc/none/deeper' });
    expect(problem?.message).toContain('use /proc/none/deeper/shop for markers');
  });

  test('a file that is not in a pg_wal is told, not thrown', async () => {
    rmSync(join(folder, 'pg_wal/archive_status'), { recursive: true });
    expect((await push()).problem?.message).toContain('archive_status');
  });

  test('ends after a while, and when the push is interrupted', async () => {
    for (const name of [SECOND, THIRD]) wait(name);
    let nowMs = 0;
    expect((await push({ clockMs: () => (nowMs += 9000) })).files).toEqual([SECOND]);
    expect((await push({ signal: AbortSignal.abort() })).files).toEqual([]);
    expect(existsSync(join(folder, 'ahead/shop', THIRD))).toBe(false);
  });
});

describe('push ahead in threads', () => {
  /** Counts what this thread stores itself; the others open the folder anew. */
  let storedHere: string[];
  beforeEach(async () => {
    mkdirSync(join(folder, 'repository'));
    const store = await openFilesystemStore({
      kind: 'filesystem',
      path: join(folder, 'repository'),
    });
    archive = await makeFixtureArchive(MAJOR, store);
    storedHere = [];
    const put = store.put.bind(store);
    vi.spyOn(store, 'put').mockImplementation(async (key, content) => {
      storedHere.push(key);
      await put(key, content);
    });
  });

  test('every file that waits is stored and marked, some of them by another thread', async () => {
    const names = NAMES.slice(1);
    for (const name of names) wait(name);
    const { files, problem } = await push({ jobs: 2 });
    expect(problem).toBeNull();
    expect(files.toSorted()).toEqual(names);
    expect(marks()).toEqual(names);
    for (const name of names) expect(await isStored(name)).toBe(true);
    expect(storedHere.length).toBeLessThan(names.length);
  });

  test('few files are stored without a thread', async () => {
    for (const name of [SECOND, THIRD]) wait(name);
    expect((await push({ jobs: 2 })).files.toSorted()).toEqual([SECOND, THIRD]);
    expect(storedHere).toHaveLength(2);
  });

  test('what a thread refuses is told with its code, and is not marked', async () => {
    const names = NAMES.slice(1);
    for (const name of names) wait(name, Buffer.alloc(1024 * 1024));
    const { files, problem } = await push({ jobs: 2 });
    expect(files).toEqual([]);
    expect(problem).toMatchObject({ code: 'object-damaged' });
    expect(marks()).toEqual([]);
  });
});
