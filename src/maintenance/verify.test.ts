import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { exampleManifest, storeBackup } from '../../test/support/stored-backup.ts';
import { makeFixtureArchive } from '../../test/support/stored-wal.ts';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { readKnownDamage } from '../catalog/known-damage.ts';
import { sealChanges } from '../catalog/seal-changes.ts';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import { segmentSummaryCodec, summarizeSegment } from '../catalog/segment-summary.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { blake3 } from '../lib/hashing.ts';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { ChangeMap } from '../postgres/wal/change-map.ts';
import { decodeChangeSpan, encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { encodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { describeSegment, SegmentDescriber } from '../postgres/wal/segment-facts.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { storeAttempt } from '../repository/attempt.ts';
import { DESCRIPTOR_KEY, walKeys } from '../repository/layout.ts';
import { storeManifest, type Manifest } from '../repository/manifest.ts';
import { readPackIndex } from '../repository/pack-reader.ts';
import { openObject, putSealed, sealObject } from '../repository/sealed-object.ts';
import { openFilesystemStore } from '../storage/filesystem/filesystem-store.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { verify } from './verify.ts';
import type { VerifyOptions, VerifyReport } from './verify-types.ts';

const FIRST = '20261122T191500Z-F' as BackupId;
const SECOND = '20261122T201500Z-F' as BackupId;
const SHARING = '20261122T211500Z-I' as BackupId;
const DEAD = '20261122T221500Z-F' as BackupId;
const MAJOR = 18;
const { systemIdentifier, segments } = expectedWal(MAJOR);
const PLACE = {
  server: 'shop',
  incarnation: `${systemIdentifier}-${MAJOR}`,
  timeline: toTimelineId(1),
};
const WAL = walKeys.timeline(PLACE);
const BACKUP_HISTORY = '00000001000000000000000A.00000028.backup';

type Stored = ReadonlyMap<string, Uint8Array>;

let sound: Stored;

beforeAll(async () => {
  const archive = await makeFixtureArchive(MAJOR);
  const { store } = archive;
  const lastOfOne = segments.findLast((name) => name.startsWith('00000001')) ?? '';
  const newTimeline = segments.at(-1) ?? '';
  const whole = segments.filter((name) => name !== lastOfOne && name !== newTimeline);
  await archive.pushFixtures(whole);
  await archive.push(`${lastOfOne}.partial`, fixtureSegment(MAJOR, lastOfOne));
  const end = factsOf(lastOfOne).validEnd;
  await archive.push('00000002.history', `1\t${formatLsn(end)}\tno recovery target specified\n`);
  await archive.push(`${newTimeline}.partial`, fixtureSegment(MAJOR, newTimeline));
  await archive.push(BACKUP_HISTORY, 'START WAL LOCATION: 0/A00028\n');
  await storePiece(store, lastOfOne);
  await storeIndex(store, whole.slice(0, 2));
  const gap = walKeys.gap(PLACE, parseLsn('0/100000'), parseLsn('0/200000'));
  await putSealed(store, gap, { kind: 'wal-gap', plain: Buffer.from('{}'), level: 1 });
  const inventory = await readWalInventory(store, archive.scope);
  const run = { timeline: PLACE.timeline, first: 9n, last: 13n };
  await sealChanges(store, inventory, run);
  await storeBackups(store);
  sound = await contentOf(store);
}, 60_000);

function changesOf(name: string): ChangeSpan {
  const describer = new SegmentDescriber({ name, segmentBytes: FIXTURE_SEGMENT_BYTES });
  describer.feed(fixtureSegment(MAJOR, name));
  const span = describer.changes();
  if (span === undefined) throw new Error('no WAL');
  return span;
}

const withoutForks = (span: ChangeSpan): ChangeSpan => ({ ...span, map: new ChangeMap() });

function factsOf(name: string): ReturnType<typeof describeSegment> {
  const options = { name, segmentBytes: FIXTURE_SEGMENT_BYTES };
  return describeSegment(fixtureSegment(MAJOR, name), options);
}

async function storePiece(store: ObjectStore, segment: string): Promise<void> {
  const piece = { segment, offset: 0, length: 8192 };
  const plain = fixtureSegment(MAJOR, segment).subarray(0, 8192);
  await putSealed(store, walKeys.piece(PLACE, piece), { kind: 'wal-piece', plain, level: 1 });
}

async function storeIndex(store: ObjectStore, names: readonly string[]): Promise<void> {
  const entries = names.map((name) => {
    const plain = fixtureSegment(MAJOR, name);
    const found = summarizeSegment(factsOf(name), null);
    const summary = segmentSummaryCodec.encode({
      ...found,
      restorePoints: [...found.restorePoints],
    });
    return { summary, plainBytes: plain.length, plainHash: blake3(plain).toString('hex') };
  });
  const plain = Buffer.from(JSON.stringify({ version: 1, segments: entries }));
  const key = walKeys.index(PLACE, names[0] ?? '', names.at(-1) ?? '');
  await putSealed(store, key, { kind: 'wal-index', plain, level: 3 });
}

async function storeBackups(store: ObjectStore): Promise<void> {
  const first = await storeBackup({
    store,
    manifest: { ...wherever('0/A00028', '0/B00150'), id: FIRST },
    files: [
      { path: 'base/5/1000', kind: 'relation', content: noise(1, 8192 * 70) },
      { path: 'base/5/1001', kind: 'relation', content: noise(2, 8192 * 3) },
      { path: 'postgresql.auto.conf', content: Buffer.from("a = 'b'\n") },
    ],
  });
  await storeBackup({
    store,
    manifest: { ...wherever('0/D00028', '0/D00150'), id: SECOND },
    files: [
      { path: 'base/5/1000', kind: 'relation', content: noise(3, 8192 * 70) },
      { path: 'base/5/1001', kind: 'relation', content: noise(4, 8192 * 3) },
      { path: 'postgresql.auto.conf', content: Buffer.from("a = 'c'\n") },
    ],
  });
  const { chunks, packs } = first;
  const sharing = { ...wherever('0/E00028', '0/E00150'), id: SHARING, chunks, packs };
  await storeManifest(store, exampleManifest({ ...sharing, type: 'incremental' }), 1);
  await storeAttempt(store, { server: 'shop', id: DEAD }, attempt);
}

const attempt = {
  version: 1 as const,
  type: 'full' as const,
  parent: null,
  source: 'local' as const,
  systemIdentifier,
  timeline: 1,
  startLsn: '0/A00028',
  startedAt: '2026-11-22T22:15:00.000Z',
  owner: { command: 'walnut backup', host: 'here', processId: 1 },
};

function wherever(startLsn: string, stopLsn: string): Partial<Manifest> {
  const { cluster } = exampleManifest({});
  return {
    systemIdentifier,
    startLsn,
    stopLsn,
    cluster: { ...cluster, walSegmentBytes: FIXTURE_SEGMENT_BYTES },
  };
}

/** Bytes that do not compress. */
function noise(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

async function contentOf(store: ObjectStore): Promise<Stored> {
  const content = new Map<string, Uint8Array>();
  for await (const { key } of store.list('')) content.set(key, await store.get(key, 1 << 30));
  return content;
}

async function check(content: Stored, options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  const store = await storeOf(content);
  return verify({ ...defaults, store, ...options }, silent, new AbortController().signal);
}

async function storeOf(content: Stored): Promise<ObjectStore> {
  const memory = openMemoryStore();
  for (const [key, bytes] of content) await memory.put(key, bytes);
  // A missing descriptor is reported by the store's path, which one in memory has not.
  return new Proxy(memory, {
    get(target, name) {
      if (name === 'description') return { kind: 'filesystem', path: '/nowhere' };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const defaults = { servers: ['shop'], backup: null, samplePercent: null, jobs: 1, now: new Date() };
const silent = {
  planned: () => {},
  phase: () => {},
  checked: () => {},
  damageFound: () => {},
};

function changed(changes: Readonly<Record<string, Uint8Array | null>>): Stored {
  const content = new Map(sound);
  for (const [key, bytes] of Object.entries(changes)) {
    if (bytes === null) content.delete(key);
    else content.set(key, bytes);
  }
  return content;
}

function flipped(key: string, bit: number): Uint8Array {
  const bytes = Buffer.from(stored(key));
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return bytes;
}

function stored(key: string): Uint8Array {
  const bytes = sound.get(key);
  if (bytes === undefined) throw new Error(`no object ${key}`);
  return bytes;
}

/** The keys of one kind each, with the backups that their loss hits. */
const KINDS: readonly (readonly [string, () => string, readonly string[]])[] = [
  ['descriptor', () => DESCRIPTOR_KEY, [FIRST, SECOND, SHARING]],
  ['server record', () => 'shop/server-0001', [FIRST, SECOND, SHARING]],
  ['manifest', () => `shop/backup/${SECOND}/manifest-0001`, [SECOND]],
  ['map chunk', () => oneOf(`shop/backup/${FIRST}/map-`), [FIRST, SHARING]],
  ['pack', () => `shop/backup/${FIRST}/pack-000001`, [FIRST, SHARING]],
  ['attempt', () => `shop/backup/${DEAD}/attempt`, []],
  ['WAL segment', () => `${WAL}00000001000000000000000B`, [FIRST]],
  ['partial segment', () => oneOf(WAL, '.partial'), [FIRST, SECOND, SHARING]],
  ['piece', () => oneOf(WAL, '.part-0-8192'), [FIRST, SECOND, SHARING]],
  ['sealed index', () => oneOf(`${WAL}index/`), []],
  ['gap', () => oneOf(`${WAL}gap/`), []],
  ['sealed changes', () => oneOf(`${WAL}changes/`), []],
  ['history', () => oneOf(walKeys.incarnation('shop', PLACE.incarnation), '.history'), []],
  ['backup history', () => walKeys.history('shop', PLACE.incarnation, BACKUP_HISTORY), []],
];

/** What nobody misses. */
const REPLACEABLE: ReadonlySet<string> = new Set([
  'attempt',
  'sealed index',
  'sealed changes',
  'gap',
  'backup history',
]);

function oneOf(prefix: string, ending = ''): string {
  return [...sound.keys()].find((key) => key.startsWith(prefix) && key.endsWith(ending)) ?? '';
}

describe('verify', () => {
  test('finds nothing wrong with a sound repository and reads all of it', async () => {
    const report = await check(sound);
    expect(report).toMatchObject({ damaged: [], unexpected: [], checkedObjects: sound.size });
    const bytes = [...sound.values()].reduce((sum, { length }) => sum + length, 0);
    expect(report.checkedBytes).toBe(bytes);
  });

  test.each(KINDS)('finds any flipped bit of a %s and names it', async (_kind, keyOf, backups) => {
    const key = keyOf();
    const bits = stored(key).length * 8;
    for (const bit of [3, bits / 5, bits / 2, (bits * 4) / 5, bits - 2].map(Math.floor)) {
      const { damaged } = await check(changed({ [key]: flipped(key, bit) }));
      expect(damaged.map((one) => one.key)).toContain(key);
      const found = damaged.find((one) => one.key === key);
      expect(found?.reason).not.toBe('');
      expect(found?.backups).toEqual(backups);
    }
  });

  test.each(KINDS)('finds a cut %s', async (_kind, keyOf) => {
    const key = keyOf();
    for (const length of [0, 50, stored(key).length >> 1, stored(key).length - 1]) {
      const { damaged } = await check(changed({ [key]: stored(key).subarray(0, length) }));
      expect(damaged.map((one) => one.key)).toContain(key);
    }
  });

  test.each(KINDS.filter(([kind]) => !REPLACEABLE.has(kind)))(
    'finds a missing %s',
    async (kind, keyOf) => {
      const key = keyOf();
      // A piece that another part of the same segment covers is not missed, as the end of all WAL is not; nor is a
      // manifest: without one there is no backup.
      const { damaged } = await check(changed({ [key]: null }));
      const isMissed = !['partial segment', 'piece', 'manifest'].includes(kind);
      expect(damaged.filter((one) => one.key === key)).toHaveLength(isMissed ? 1 : 0);
    },
  );

  test('tells which files of which backups a damaged frame takes along', async () => {
    const key = `shop/backup/${FIRST}/pack-000001`;
    const inFirstFrame = (96 + 64 + 1000) * 8;
    const { damaged } = await check(changed({ [key]: flipped(key, inFirstFrame) }));
    expect(damaged).toEqual([
      {
        key,
        reason: 'the checksum of frame 0 does not match',
        backups: [FIRST, SHARING],
        affects: ['base/5/1000: blocks 0–31'],
      },
    ]);
  });

  test('finds two packs of one size that changed places', async () => {
    const first = `shop/backup/${FIRST}/pack-000001`;
    const second = `shop/backup/${SECOND}/pack-000001`;
    const { damaged } = await check(changed({ [first]: stored(second), [second]: stored(first) }));
    expect(damaged.map(({ key, backups }) => [key, backups])).toEqual([
      [first, [FIRST, SHARING]],
      [second, [SECOND]],
    ]);
  });

  test('finds packs of one size whose frames hold other files', async () => {
    const key = `shop/backup/${FIRST}/pack-000001`;
    const store = openMemoryStore();
    const other = await storeBackup({
      store,
      manifest: { id: FIRST },
      files: [
        { path: 'base/5/1009', kind: 'relation', content: noise(1, 8192 * 70) },
        { path: 'base/5/1001', kind: 'relation', content: noise(2, 8192 * 3) },
        { path: 'postgresql.auto.conf', content: Buffer.from("a = 'b'\n") },
      ],
    });
    const swapped = await store.get(other.packs[0]?.key ?? '', 1 << 30);
    expect(swapped.length).toBe(stored(key).length);
    const { damaged } = await check(changed({ [key]: swapped }));
    expect(damaged[0]).toMatchObject({
      key,
      reason: expect.stringContaining('frame 0 holds base/5/1009 where base/5/1000 should lie'),
      affects: expect.arrayContaining(['base/5/1000: blocks 0–69']),
    });
  });

  test('finds a manifest under the name of another backup', async () => {
    const key = `shop/backup/${SECOND}/manifest-0001`;
    const { damaged } = await check(
      changed({ [key]: stored(`shop/backup/${FIRST}/manifest-0001`) }),
    );
    expect(damaged).toMatchObject([{ key, backups: [SECOND] }]);
  });

  test('finds a WAL segment under the name of another one', async () => {
    const key = `${WAL}00000001000000000000000C`;
    const { damaged } = await check(changed({ [key]: stored(`${WAL}00000001000000000000000D`) }));
    expect(damaged).toMatchObject([{ key, backups: [FIRST] }]);
  });

  test('tells which backups a missing segment makes useless, and which only end before it', async () => {
    const key = `${WAL}00000001000000000000000D`;
    const { damaged } = await check(changed({ [key]: null }));
    expect(damaged).toEqual([
      {
        key,
        reason: 'missing',
        backups: [FIRST, SECOND],
        affects: [
          'WAL 0/D00000 to 0/E00000 of timeline 1',
          `cannot be recovered beyond 0/D00000 on timeline 1: ${FIRST}`,
          `cannot be restored without it: ${SECOND}`,
        ],
      },
    ]);
  });

  test('finds that the changes noted with a segment are not those of its WAL', async () => {
    const name = '000000010000000000000009';
    const key = `${WAL}${name}`;
    const plain = fixtureSegment(MAJOR, name);
    const annex = encodeSegmentFacts(factsOf(name));
    const secondAnnex = encodeChangeSpan(withoutForks(changesOf(name)));
    const object = sealObject({ kind: 'wal-segment', plain, annex, secondAnnex, level: 1 });
    const { damaged } = await check(changed({ [key]: object }));
    expect(damaged.find((one) => one.key === key)?.reason).toContain('differ from its WAL');
    // The sealed changes were made of the right ones.
    expect(damaged.map((one) => one.key)).toContain(oneOf(`${WAL}changes/`));
  });

  test('finds that sealed changes are not those of their segments, or of other WAL than they are named', async () => {
    const key = oneOf(`${WAL}changes/`);
    const { plain } = openObject(stored(key), 'wal-changes', key);
    const other = encodeChangeSpan(withoutForks(decodeChangeSpan(plain)));
    const object = sealObject({ kind: 'wal-changes', plain: other, level: 1 });
    const { damaged } = await check(changed({ [key]: object }));
    expect(damaged).toMatchObject([{ key, reason: expect.stringContaining('other changes') }]);
    const wrong = `${WAL}changes/000000010000000000000009-00000001000000000000000B`;
    const renamed = await check(changed({ [wrong]: stored(key) }));
    expect(renamed.damaged).toMatchObject([
      { key: wrong, reason: expect.stringContaining('other WAL') },
    ]);
    const segment = `${WAL}00000001000000000000000A`;
    const expired = await check(changed({ [key]: object, [segment]: null }));
    expect(expired.damaged.map((one) => one.key)).toEqual([segment]);
  });

  test('finds a hole behind the last backup', async () => {
    const key = `${WAL}00000001000000000000000F`;
    const { damaged } = await check(changed({ [key]: null }));
    expect(damaged).toMatchObject([{ key, reason: 'missing', backups: [FIRST, SECOND, SHARING] }]);
  });

  test('finds an object of another kind under the name of a piece', async () => {
    const key = oneOf(WAL, '.part-0-8192');
    const { damaged } = await check(changed({ [key]: stored(`${WAL}00000001000000000000000F`) }));
    expect(damaged).toMatchObject([{ key, reason: 'it is a wal-segment, not a wal-piece' }]);
  });

  test('goes on after damage and finds all of it', async () => {
    const keys = KINDS.map(([, keyOf]) => keyOf()).filter((key) => !key.includes('.part'));
    const changes = Object.fromEntries(keys.map((key) => [key, flipped(key, 700)]));
    const { damaged } = await check(changed(changes));
    expect(damaged.map(({ key }) => key)).toEqual(expect.arrayContaining(keys));
  });

  test('reports objects of unknown names, and does not call them damage', async () => {
    const keys = ['shop/backup/notes.txt', `${WAL}0000.tmp`, 'shop/dump/x'];
    const strange = Object.fromEntries(keys.map((key) => [key, Buffer.from('x')]));
    const report = await check(changed(strange));
    expect(report.damaged).toEqual([]);
    expect(report.unexpected.toSorted()).toEqual(keys.toSorted());
  });

  test('reads only what one backup needs', async () => {
    const other = `shop/backup/${SECOND}/pack-000001`;
    const needed = `${WAL}00000001000000000000000B`;
    const later = `${WAL}00000001000000000000000C`;
    const content = changed({
      [other]: flipped(other, 2000),
      [needed]: flipped(needed, 2000),
      [later]: null,
    });
    const { damaged } = await check(content, { backup: FIRST });
    expect(damaged.map(({ key }) => key)).toEqual([needed]);
  });

  test('refuses a backup that is not there', async () => {
    const wanted = check(sound, { backup: '20200101T000000Z-F' as BackupId });
    await expect(wanted).rejects.toMatchObject({ code: 'no-backup' });
  });

  test('refuses a place without a repository', async () => {
    await expect(check(new Map())).rejects.toMatchObject({ code: 'repository-missing' });
  });

  test('reads a share of the data, but all of what names it', async () => {
    const report = await check(sound, { samplePercent: 1 });
    expect(report.damaged).toEqual([]);
    const full = await check(sound);
    expect(report.checkedBytes).toBeLessThan(full.checkedBytes);
    const all = await check(sound, { samplePercent: 100 });
    expect(all.checkedBytes).toBe(full.checkedBytes);
  });

  test('leaves behind what is damaged for whoever shares frames, until it is sound again', async () => {
    const store = await storeOf(sound);
    const key = [...sound.keys()].find((name) => name.endsWith('/pack-000001')) ?? '';
    const bytes = Buffer.from(sound.get(key) ?? []);
    const [frame] = (await readPackIndex(store, key)).frames;
    bytes.writeUInt8(bytes.readUInt8((frame?.offset ?? 0) + 64) ^ 1, (frame?.offset ?? 0) + 64);
    await store.replace(key, bytes);
    await verify({ ...defaults, store }, silent, new AbortController().signal);
    expect((await readKnownDamage(store, 'shop')).get(key)).toEqual(new Set([0]));
    await store.replace(key, sound.get(key) ?? Buffer.alloc(0));
    await verify({ ...defaults, store }, silent, new AbortController().signal);
    expect(await readKnownDamage(store, 'shop')).toEqual(new Map());
  });

  test('ends when it is interrupted', async () => {
    const store = await storeOf(sound);
    const reason = new WalnutError('interrupted', 'interrupted');
    const work = verify({ ...defaults, store }, silent, AbortSignal.abort(reason));
    await expect(work).rejects.toBe(reason);
  });

  test('finds the same with several threads', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'walnut-verify-'));
    try {
      const store = await openFilesystemStore({ kind: 'filesystem', path: folder });
      const pack = `shop/backup/${FIRST}/pack-000001`;
      const segment = `${WAL}00000001000000000000000B`;
      const content = changed({ [pack]: flipped(pack, 9000), [segment]: flipped(segment, 9000) });
      for (const [key, bytes] of content) await store.put(key, bytes);
      const options = { ...defaults, store };
      const signal = new AbortController().signal;
      const alone = await verify(options, silent, signal);
      const together = await verify({ ...options, jobs: 2 }, silent, signal);
      expect(alone.damaged).toHaveLength(2);
      expect(together).toEqual(alone);
      await store.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
