import { describe, expect, test } from 'vitest';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive } from '../../test/support/stored-wal.ts';
import { segmentStart } from '../postgres/segment-name.ts';
import { listRecords } from '../postgres/wal/list-records.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { pushWalFile } from './push.ts';

const MAJOR = 18;
const [FIRST = '', SECOND = ''] = expectedWal(MAJOR).segments;
const LAST_OF_ONE =
  expectedWal(MAJOR).segments.findLast((name) => name.startsWith('00000001')) ?? '';

const { records: lastRecords, walker } = listRecords([fixtureSegment(MAJOR, LAST_OF_ONE)], {
  start: segmentStart(0x10n, FIXTURE_SEGMENT_BYTES),
  segmentBytes: FIXTURE_SEGMENT_BYTES,
});

/** The last segment of timeline 1 as it was one record before its end. */
function oneRecordShorter(): Buffer {
  const bytes = Buffer.from(fixtureSegment(MAJOR, LAST_OF_ONE));
  const lastLsn = lastRecords.at(-1)?.lsn ?? walker.validEnd;
  return bytes.fill(0, Number(lastLsn % BigInt(FIXTURE_SEGMENT_BYTES)));
}

describe('push', () => {
  test('a segment is stored once, and pushing it again is no error', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const bytes = fixtureSegment(MAJOR, FIRST);
    expect(await archive.push(FIRST, bytes)).toEqual({
      file: FIRST,
      outcome: 'stored',
      bytes: bytes.length,
    });
    expect((await archive.push(FIRST, bytes)).outcome).toBe('existed');
  });

  test('other content under a stored name is an alarm and changes nothing', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const bytes = fixtureSegment(MAJOR, LAST_OF_ONE);
    await archive.push(LAST_OF_ONE, bytes);
    const other = oneRecordShorter();
    await expect(archive.push(LAST_OF_ONE, other)).rejects.toMatchObject({
      code: 'wal-conflict',
      exitCode: 1,
    });
    expect((await archive.push(LAST_OF_ONE, bytes)).outcome).toBe('existed');
  });

  test.each([
    ['one flipped bit', (bytes: Buffer) => bytes.writeUInt8(bytes.readUInt8(70_000) ^ 1, 70_000)],
    ['a page of an older use', (bytes: Buffer) => bytes.copyWithin(16_384, 8192, 16_384)],
  ])('a segment with %s is refused', async (_title, damage) => {
    const archive = await makeFixtureArchive(MAJOR);
    const bytes = Buffer.from(fixtureSegment(MAJOR, FIRST));
    damage(bytes);
    await expect(archive.push(FIRST, bytes)).rejects.toMatchObject({ code: 'object-damaged' });
    expect((await readWalInventory(archive.store, archive.scope)).timelines.size).toBe(0);
  });

  test('a segment under the name of another is refused', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await expect(archive.push(SECOND, fixtureSegment(MAJOR, FIRST))).rejects.toMatchObject({
      code: 'object-damaged',
    });
  });

  test('a segment that is too short is refused with both sizes', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const bytes = fixtureSegment(MAJOR, FIRST).subarray(0, 8192);
    await expect(archive.push(FIRST, bytes)).rejects.toThrow(/has 8192 bytes.*1048576/);
  });

  test('WAL of another system is refused, and the way to say that it is the same server is shown', async () => {
    const archive = await makeFixtureArchive(17);
    await expect(archive.push(FIRST, fixtureSegment(18, FIRST))).rejects.toMatchObject({
      code: 'foreign-system',
      hint: expect.stringContaining('walnut init shop --new-incarnation') as string,
    });
  });

  test('a server that was never initialized is refused with the fix', async () => {
    const request = {
      store: openMemoryStore(),
      server: 'shop',
      path: `/nowhere/${FIRST}`,
      level: 1,
    };
    await expect(pushWalFile(request)).rejects.toMatchObject({
      code: 'config',
      hint: expect.stringContaining('walnut init shop') as string,
    });
  });

  test('a name that is no WAL file is refused before anything is read', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await expect(archive.push('postgresql.conf', 'x')).rejects.toMatchObject({ code: 'usage' });
  });

  test('history and backup history files are stored byte for byte', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    const history = '1\t0/1000028\tno recovery target specified\n';
    expect((await archive.push('00000002.history', history)).outcome).toBe('stored');
    expect((await archive.push('00000002.history', history)).outcome).toBe('existed');
    expect((await archive.push(`${FIRST}.00000028.backup`, 'START WAL')).outcome).toBe('stored');
    await expect(archive.push('00000002.history', `${history}\n`)).rejects.toMatchObject({
      code: 'wal-conflict',
    });
  });

  test('a history file that PostgreSQL could not read is refused', async () => {
    const archive = await makeFixtureArchive(MAJOR);
    await expect(archive.push('00000002.history', 'what?\n')).rejects.toMatchObject({
      code: 'object-damaged',
    });
  });

  describe('a .partial file', () => {
    const name = `${LAST_OF_ONE}.partial`;
    const full = fixtureSegment(MAJOR, LAST_OF_ONE);

    test('is the same file when it differs only behind its last record', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.push(name, full);
      const other = Buffer.from(full);
      other.fill(0xa5, other.length - 8192);
      expect((await archive.push(name, other)).outcome).toBe('existed');
    });

    test('that says more than the stored one is kept beside it', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      const short = oneRecordShorter();
      await archive.push(name, short);
      const [before] = (await readWalInventory(archive.store, archive.scope)).timelines.values();
      expect((await archive.push(name, full)).outcome).toBe('stored');
      const [after] = (await readWalInventory(archive.store, archive.scope)).timelines.values();
      expect(after?.open[0]?.end).toBeGreaterThan(before?.open[0]?.end ?? 0n);
      expect((await archive.push(name, short)).outcome).toBe('existed');
    });

    test('with another history is an alarm', async () => {
      const archive = await makeFixtureArchive(MAJOR);
      await archive.push(name, full);
      const [, another = ''] = expectedWal(17).segments;
      await expect(archive.push(name, fixtureSegment(17, another))).rejects.toMatchObject({
        code: 'foreign-system',
      });
    });
  });
});
