import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { describeSegment } from '../postgres/wal/segment-facts.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import { fetchWalFile, type FetchOutcome } from './fetch.ts';
import { spoolPaths } from './spool-paths.ts';
import type { FetchPlan } from './fetch-decision.ts';

const MAJOR = 16;
const SEGMENTS = expectedWal(MAJOR).segments;
const ON_ONE = SEGMENTS.filter((name) => name.startsWith('00000001'));
const PARTIAL = ON_ONE.at(-1) ?? '';
const CHILD = SEGMENTS.at(-1) ?? '';
const [FIRST = '', SECOND = '', THIRD = ''] = ON_ONE;
const partialFacts = describeSegment(fixtureSegment(MAJOR, PARTIAL), {
  name: PARTIAL,
  segmentBytes: FIXTURE_SEGMENT_BYTES,
});
const HISTORY = `1\t${formatLsn(partialFacts.validEnd)}\tno recovery target specified\n`;
const VALID_LENGTH = Number(partialFacts.validEnd - partialFacts.startLsn);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-fetch-'));
});
afterAll(async () => rm(folder, { recursive: true }));

type Fetched = FetchOutcome & { readonly content: Buffer };

async function fetch(
  archive: FixtureArchive,
  name: string,
  { plan, spoolFolder = null }: { plan?: FetchPlan; spoolFolder?: string | null } = {},
): Promise<Fetched> {
  const destination = join(folder, 'RECOVERYXLOG');
  await rm(destination, { force: true });
  const { store, scope } = archive;
  const outcome = await fetchWalFile({
    store,
    server: scope.server,
    name,
    destination,
    plan,
    spoolFolder,
  });
  return { ...outcome, content: await readFile(destination) };
}

async function storePiece(
  archive: FixtureArchive,
  name: string,
  [offset, end]: readonly [number, number],
): Promise<string> {
  const timeline = toTimelineId(Number.parseInt(name.slice(0, 8), 16));
  const place = {
    server: archive.scope.server,
    incarnation: nameOfIncarnation(archive.scope.incarnation),
    timeline,
  };
  const key = walKeys.piece(place, { segment: name, offset, length: end - offset });
  const plain = fixtureSegment(MAJOR, name).subarray(offset, end);
  await storeWalObject(archive.store, { key, kind: 'wal-piece', plain, level: 1 });
  return key;
}

function segmentKey(archive: FixtureArchive, name: string): string {
  const { server, incarnation } = archive.scope;
  const timeline = toTimelineId(Number.parseInt(name.slice(0, 8), 16));
  return walKeys.segment({ server, incarnation: nameOfIncarnation(incarnation), timeline }, name);
}

/** Flips one bit of a stored object. */
async function damage(archive: FixtureArchive, key: string): Promise<void> {
  const stored = await archive.store.get(key, 1 << 30);
  const at = stored.length - 100;
  stored.writeUInt8(stored.readUInt8(at) ^ 4, at);
  await archive.store.delete(key);
  await archive.store.put(key, stored);
}

describe('fetch', () => {
  test('a stored segment arrives whole, and nothing else is left beside it', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.pushFixtures([FIRST]);
    const { source, content } = await fetch(archive, FIRST);
    expect(source).toBe('segment');
    expect(content.equals(fixtureSegment(MAJOR, FIRST))).toBe(true);
    expect(await readdir(folder)).toEqual(['RECOVERYXLOG']);
  });

  test('a segment that is not stored is told from one that cannot be written', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.pushFixtures([FIRST]);
    const request = {
      store: archive.store,
      server: archive.scope.server,
      destination: join(folder, 'no-such-folder', 'RECOVERYXLOG'),
      spoolFolder: null,
    };
    await expect(fetchWalFile({ ...request, name: SECOND })).rejects.toMatchObject({
      code: 'not-in-repository',
    });
    await expect(fetchWalFile({ ...request, name: FIRST })).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringMatching(/^write .*ENOENT/),
    });
  });

  test('history files arrive byte for byte', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await archive.push('00000002.history', HISTORY);
    expect((await fetch(archive, '00000002.history')).content.toString()).toBe(HISTORY);
  });

  test('a server that the repository does not know is an error, not the end of WAL', async () => {
    const { store } = await makeFixtureArchive(MAJOR);
    const request = { store, server: 'other', name: FIRST, destination: 'x', spoolFolder: null };
    await expect(fetchWalFile(request)).rejects.toMatchObject({ code: 'config' });
  });

  describe('without a plan', () => {
    test('a segment behind everything is the end of WAL', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST]);
      await expect(fetch(archive, SECOND)).rejects.toMatchObject({
        code: 'not-in-repository',
        exitCode: 44,
      });
    });

    test('a missing segment before a stored one is a hole', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST, THIRD]);
      await expect(fetch(archive, SECOND)).rejects.toMatchObject({ code: 'wal-gap' });
    });

    test('a missing segment before a piece of a later one is a hole', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await storePiece(archive, THIRD, [0, 8192]);
      await expect(fetch(archive, SECOND)).rejects.toMatchObject({ code: 'wal-gap' });
    });

    test('a missing segment that a descendant continues is a hole', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST]);
      await archive.push('00000002.history', HISTORY);
      await archive.push(`${CHILD}.partial`, fixtureSegment(MAJOR, CHILD));
      await expect(fetch(archive, SECOND)).rejects.toThrow(/WAL of timeline 2, which continues it/);
    });

    test('the first segment of a new timeline of which nothing is stored is the end of WAL', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures(ON_ONE.slice(0, -1));
      await archive.push('00000002.history', HISTORY);
      await expect(fetch(archive, CHILD)).rejects.toMatchObject({ code: 'not-in-repository' });
    });

    test.each([
      ['00000001.history', 'not-in-repository'],
      ['00000002.history', 'wal-gap'],
      ['00000003.history', 'not-in-repository'],
    ])('%s is judged by what is known of later timelines', async (name, code) => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST]);
      await archive.push(`${CHILD}.partial`, fixtureSegment(MAJOR, CHILD));
      await expect(fetch(archive, name)).rejects.toMatchObject({ code });
    });
  });

  describe('with a plan', () => {
    const plan = { lastSegment: SECOND, timeline: toTimelineId(1) };

    test('a hole behind the plan does not kill the restore', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST, SECOND, ON_ONE[3] ?? '']);
      await expect(fetch(archive, THIRD, { plan })).rejects.toMatchObject({
        code: 'not-in-repository',
      });
    });

    test('a segment within the plan is needed, whatever is stored behind it', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST]);
      await expect(fetch(archive, SECOND, { plan })).rejects.toMatchObject({ code: 'wal-gap' });
    });

    test('the segment of a switch point may come from the parent', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures(ON_ONE.slice(0, -1));
      await archive.push(`${PARTIAL}.partial`, fixtureSegment(MAJOR, PARTIAL));
      await archive.push('00000002.history', HISTORY);
      const along = { lastSegment: PARTIAL, timeline: toTimelineId(2) };
      await expect(fetch(archive, CHILD, { plan: along })).rejects.toMatchObject({
        code: 'not-in-repository',
      });
      expect((await fetch(archive, PARTIAL, { plan: along })).source).toBe('partial');
    });

    // Without it a copy of timeline 1 was promoted to timeline 2 once more, and its WAL taken for that of the first.
    test('the history of a later timeline is there, so that its number is not used again', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.push('00000002.history', HISTORY);
      expect((await fetch(archive, '00000002.history', { plan })).content.toString()).toBe(HISTORY);
    });

    test('the history of a later timeline that is missing does not kill the restore', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.push(`${CHILD}.partial`, fixtureSegment(MAJOR, CHILD));
      await expect(fetch(archive, '00000002.history', { plan })).rejects.toMatchObject({
        code: 'not-in-repository',
      });
    });
  });

  describe('the last segment of a timeline', () => {
    const expected = Buffer.alloc(FIXTURE_SEGMENT_BYTES);
    fixtureSegment(MAJOR, PARTIAL).copy(expected, 0, 0, VALID_LENGTH);

    test('is put together from pieces and padded with zeroes', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      const middle = Math.floor(VALID_LENGTH / 2);
      await storePiece(archive, PARTIAL, [0, middle]);
      await storePiece(archive, PARTIAL, [middle, VALID_LENGTH]);
      const { source, content } = await fetch(archive, PARTIAL);
      expect(source).toBe('pieces');
      expect(content.equals(expected)).toBe(true);
    });

    test('comes from a .partial file without the chance behind its last record', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      const recycled = Buffer.from(fixtureSegment(MAJOR, PARTIAL)).fill(
        0xa5,
        FIXTURE_SEGMENT_BYTES / 2,
      );
      await archive.push(`${PARTIAL}.partial`, recycled);
      const { source, content } = await fetch(archive, PARTIAL);
      expect(source).toBe('partial');
      expect(content.equals(expected)).toBe(true);
    });

    test('is refused when the piece that holds its end is damaged, for it would pass for the end of WAL', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await storePiece(archive, FIRST, [0, 100_000]);
      const key = await storePiece(archive, FIRST, [100_000, 200_000]);
      await damage(archive, key);
      await expect(fetch(archive, FIRST)).rejects.toMatchObject({
        code: 'object-damaged',
        details: { key },
      });
    });

    test('is served when a damaged piece holds nothing that others do not', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await damage(archive, await storePiece(archive, FIRST, [0, 100_000]));
      await storePiece(archive, FIRST, [0, 90_000]);
      await storePiece(archive, FIRST, [80_000, 200_000]);
      const { content } = await fetch(archive, FIRST);
      const served = content.subarray(0, 200_000);
      expect(served.equals(fixtureSegment(MAJOR, FIRST).subarray(0, 200_000))).toBe(true);
      expect(content.subarray(200_000).every((byte) => byte === 0)).toBe(true);
    });

    test('of a former timeline is not served from the middle of the archive', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await storePiece(archive, FIRST, [0, 100_000]);
      await archive.pushFixtures([SECOND]);
      await expect(fetch(archive, FIRST)).rejects.toMatchObject({ code: 'wal-gap' });
    });
  });

  describe('a damaged segment', () => {
    test('is replaced by pieces that hold all of it', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST, SECOND]);
      await storePiece(archive, FIRST, [0, 600_000]);
      await storePiece(archive, FIRST, [600_000, FIXTURE_SEGMENT_BYTES]);
      await damage(archive, segmentKey(archive, FIRST));
      const { source, content, damaged } = await fetch(archive, FIRST);
      expect(source).toBe('pieces');
      expect(content.equals(fixtureSegment(MAJOR, FIRST))).toBe(true);
      expect(damaged).toHaveLength(1);
    });

    test('is replaced by the one in the spool', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST]);
      await damage(archive, segmentKey(archive, FIRST));
      const spoolFolder = await mkdtemp(join(tmpdir(), 'walnut-spool-'));
      try {
        const incarnation = nameOfIncarnation(archive.scope.incarnation);
        const paths = spoolPaths({ folder: spoolFolder, incarnation });
        await mkdir(paths.folder);
        await writeFile(paths.complete(FIRST), fixtureSegment(MAJOR, FIRST));
        expect((await fetch(archive, FIRST, { spoolFolder })).source).toBe('spool');
        await writeFile(paths.complete(FIRST), Buffer.alloc(FIXTURE_SEGMENT_BYTES));
        await expect(fetch(archive, FIRST, { spoolFolder })).rejects.toMatchObject({
          code: 'object-damaged',
        });
      } finally {
        await rm(spoolFolder, { recursive: true });
      }
    });

    test('without another copy is an error that names it, even at the end of WAL', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.pushFixtures([FIRST]);
      const key = segmentKey(archive, FIRST);
      await damage(archive, key);
      await storePiece(archive, FIRST, [0, 8192]);
      await expect(fetch(archive, FIRST)).rejects.toMatchObject({
        code: 'object-damaged',
        exitCode: 1,
        details: { key },
      });
      // It had been written as far as it was right.
      expect(await readdir(folder)).toEqual([]);
    });
  });
});
