import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changeText } from '../../test/support/change-text.ts';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
} from '../../test/fixtures/wal/load.ts';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import { crc32c } from '../lib/hashing.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { ChangeChain } from '../postgres/wal/change-chain.ts';
import { ChangeMap } from '../postgres/wal/change-map.ts';
import { listRecords, type ListedRecord } from '../postgres/wal/list-records.ts';
import { describeSegment, SegmentDescriber } from '../postgres/wal/segment-facts.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import { readChanges, type Changes } from './changes.ts';
import { sealChanges } from './seal-changes.ts';
import { readWalInventory } from './wal-inventory.ts';

const SIZE = FIXTURE_SEGMENT_BYTES;
const MAJOR = 18;
const ONE = toTimelineId(1);
const NAMES = expectedWal(MAJOR).path.slice(0, -1);
const CUSTOM_MANAGER = 200;
const HEAP_MANAGER = 10;
const SPECIAL = 0x01;

const startOf = (name: string): Lsn => segmentStart(parseSegmentName(name, SIZE).number, SIZE);
const numberOf = (name: string): bigint => parseSegmentName(name, SIZE).number;
const factsOf = (name: string): ReturnType<typeof describeSegment> =>
  describeSegment(fixtureSegment(MAJOR, name), { name, segmentBytes: SIZE });
const FROM = toLsn(startOf(NAMES[0] ?? '') + 40n);
const TO = factsOf(NAMES.at(-1) ?? '').tail?.lsn ?? toLsn(0n);

/** The text of an archive whose segments hold these bytes in place of the fixture's, past all checks of arrival. */
async function archiveOf(
  changed: Readonly<Record<string, Uint8Array>> = {},
  names: readonly string[] = NAMES,
): Promise<FixtureArchive> {
  const archive = await makeFixtureArchive(MAJOR);
  for (const name of names) {
    const plain = changed[name];
    if (plain === undefined) await archive.pushFixtures([name]);
    else {
      const { server, incarnation } = archive.scope;
      const place = { server, incarnation: nameOfIncarnation(incarnation), timeline: ONE };
      const key = walKeys.segment(place, name);
      await storeWalObject(archive.store, { key, kind: 'wal-segment', plain, level: 1 });
    }
  }
  return archive;
}

async function changesOf(
  { store, scope }: FixtureArchive,
  { from = FROM, to = TO }: { readonly from?: Lsn; readonly to?: Lsn } = {},
): Promise<Changes> {
  const inventory = await readWalInventory(store, scope);
  return readChanges(store, inventory, {
    timeline: ONE,
    from,
    to,
    signal: new AbortController().signal,
  });
}

const EXPECTED = textOf(await changesOf(await archiveOf()));

function textOf(changes: Changes): string[] {
  if (changes.kind !== 'known') throw new Error(`${changes.kind}: ${changes.reason}`);
  return changeText(changes.map);
}

/** The segment with one of its records changed and its checksum made right again; the record lies in one page. */
function withRecord(
  name: string,
  choose: (row: number, inPage: boolean) => boolean,
  change: (record: Buffer) => void,
): { readonly bytes: Buffer; readonly lsn: Lsn; readonly endLsn: Lsn } {
  const bytes = Buffer.from(fixtureSegment(MAJOR, name));
  const start = startOf(name);
  const { records } = listRecords([bytes], { start, segmentBytes: SIZE });
  const found = records.find(({ lsn, totalBytes }, row) =>
    choose(row, (Number(lsn - start) % 8192) + totalBytes <= 8192),
  );
  if (found === undefined) throw new Error('no such record');
  const at = Number(found.lsn - start);
  const record = bytes.subarray(at, at + found.totalBytes);
  change(record);
  record.writeUInt32LE(crc32c(record.subarray(0, 20), crc32c(record.subarray(24))), 20);
  return { bytes, lsn: found.lsn, endLsn: found.endLsn };
}

const flipped = (name: string, at: number): Buffer => {
  const bytes = Buffer.from(fixtureSegment(MAJOR, name));
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  return bytes;
};

describe('changes of WAL', () => {
  test('that a byte was changed in are never other changes than were written', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(NAMES.length - 1), fc.nat(SIZE - 1), async (row, at) => {
        const name = NAMES[row] ?? '';
        const found = await changesOf(await archiveOf({ [name]: flipped(name, at) }));
        const known = found.kind === 'known' ? changeText(found.map) : null;
        expect(found.kind === 'gap' ? EXPECTED : known).toEqual(EXPECTED);
      }),
      { numRuns: 25 },
    );
  });

  test('that was cut are known up to the last whole record', async () => {
    const [name = ''] = NAMES;
    const start = startOf(name);
    const { records } = listRecords([fixtureSegment(MAJOR, name)], { start, segmentBytes: SIZE });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: SIZE - 1 }), async (length) => {
        const archive = await archiveOf({}, []);
        const { server, incarnation } = archive.scope;
        const place = { server, incarnation: nameOfIncarnation(incarnation), timeline: ONE };
        const key = walKeys.piece(place, { segment: name, offset: 0, length });
        const plain = fixtureSegment(MAJOR, name).subarray(0, length);
        await storeWalObject(archive.store, { key, kind: 'wal-piece', plain, level: 1 });
        // The padding of the last record may be missing: nothing is in it.
        const isWhole = ({ lsn, totalBytes }: ListedRecord): boolean =>
          Number(lsn - start) + totalBytes <= length;
        const whole = records.findLast(isWhole);
        const next = records.find((record) => !isWhole(record));
        const known = await changesOf(archive, { to: whole?.lsn ?? FROM });
        expect(known.kind).toBe('known');
        if (next === undefined) return;
        const found = await changesOf(archive, { to: next.endLsn });
        const from = found.kind === 'gap' ? found.from : next.endLsn;
        expect(from).toBeLessThanOrEqual(next.lsn);
      }),
      { numRuns: 40 },
    );
  });

  test.each([
    ['which ends in the next segment', 6, 200],
    ['which ends in the next segment, near its end', 6, 5000],
    ['which goes on through a whole segment', 3, 500_000],
    ['which ends two segments further', 4, 3000],
  ])('are a gap where the checksum of a record does not fit %s', async (_, row, at) => {
    const name = NAMES[row] ?? '';
    const bytes = flipped(name, at);
    // Alone the segment is as good as before: only the join can see it.
    expect(describeSegment(bytes, { name, segmentBytes: SIZE }).validEnd).toBe(
      factsOf(name).validEnd,
    );
    const found = await changesOf(await archiveOf({ [name]: bytes }));
    expect(found).toMatchObject({ kind: 'gap', reason: expect.stringContaining('checksum') });
  });

  test('are a gap where a segment’s first record does not point back to the last one before', async () => {
    const name = NAMES[5] ?? '';
    const { bytes } = withRecord(
      name,
      (row) => row === 0,
      (record) => record.writeUInt32LE(64, 8),
    );
    const found = await changesOf(await archiveOf({ [name]: bytes }));
    expect(found).toMatchObject({
      kind: 'gap',
      from: startOf(name),
      reason: expect.stringContaining('point back'),
    });
  });

  test('that begins anew, as after pg_resetwal, cannot be used', async () => {
    const name = NAMES[5] ?? '';
    const { bytes, lsn } = withRecord(
      name,
      (row) => row === 0,
      (record) => record.writeBigUInt64LE(0n, 8),
    );
    const archive = await archiveOf({ [name]: bytes });
    expect(await changesOf(archive)).toMatchObject({ kind: 'unusable', lsn });
    expect(await changesOf(archive, { to: lsn })).toMatchObject({ kind: 'known' });
  });

  test('in which an extension changes files in its own way cannot be used, from before until behind that', async () => {
    const name = NAMES[5] ?? '';
    const { bytes, lsn, endLsn } = withRecord(
      name,
      (row, inPage) => row > 100 && inPage,
      (record) => {
        record.writeUInt8(record.readUInt8(16) | SPECIAL, 16);
        record.writeUInt8(CUSTOM_MANAGER, 17);
      },
    );
    const archive = await archiveOf({ [name]: bytes });
    expect(await changesOf(archive)).toMatchObject({ kind: 'unusable', lsn });
    expect(await changesOf(archive, { to: lsn })).toMatchObject({ kind: 'known' });
    expect(await changesOf(archive, { from: endLsn })).toMatchObject({ kind: 'known' });
    expect(await changesOf(archive, { from: lsn })).toMatchObject({ kind: 'unusable', lsn });
    const { store, scope } = archive;
    const run = { timeline: ONE, first: numberOf(NAMES[0] ?? ''), last: numberOf(name) };
    expect(await sealChanges(store, await readWalInventory(store, scope), run)).toMatchObject({
      kind: 'sealed',
    });
    expect(await changesOf(archive)).toMatchObject({ kind: 'unusable', lsn });
    expect(await changesOf(archive, { to: lsn })).toMatchObject({ kind: 'known' });
  });
});

const CHANGED = '1663/5/16384/0: limit null, blocks 7 9';

/** A heap record that refers to two blocks, with 100 bytes of data. */
function recordWithReferences(): { readonly bytes: Buffer } {
  const bytes = Buffer.alloc(24 + 20 + 8 + 2 + 100);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt8(HEAP_MANAGER, 17);
  for (const [place, value] of [1663, 5, 16_384, 7].entries())
    bytes.writeUInt32LE(value, 28 + place * 4);
  bytes.set([1, 0x80, 0, 0, 9, 0, 0, 0, 255, 100], 44);
  return { bytes };
}

describe('a chain of spans', () => {
  const spans = NAMES.map((name) => {
    const describer = new SegmentDescriber({ name, segmentBytes: SIZE });
    describer.feed(fixtureSegment(MAJOR, name));
    const span = describer.changes();
    if (span === undefined) throw new Error('no WAL');
    return span;
  });

  test('is the same however it is grouped', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 7, maxLength: 7 }),
        (lengths) => {
          const chain = new ChangeChain();
          let at = 0;
          for (const length of lengths) {
            const group = new ChangeChain();
            const steps = spans.slice(at, at + length).map((span) => group.append(span).kind);
            at += length;
            if (group.span !== undefined) steps.push(chain.append(group.span).kind);
            expect(steps.filter((kind) => kind !== 'joined')).toEqual([]);
          }
          expect(chain.completeTo).toBe(TO);
          expect(changeText(chain.map)).toEqual(EXPECTED);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('adds what a record changes that goes on from one span into the next, wherever it is cut', () => {
    const [before, next] = [spans[0], spans[1]];
    if (before === undefined || next === undefined) throw new Error('no span');
    const { bytes } = recordWithReferences();
    const lsn = toLsn(before.endLsn - 64n);
    bytes.writeBigUInt64LE(before.lastRecordLsn ?? 0n, 8);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 20), crc32c(bytes.subarray(24))), 20);
    for (let cut = 8; cut < bytes.length; cut += 8) {
      const parts = [bytes.subarray(0, cut), bytes.subarray(cut)] as const;
      const [tail, head] = parts.map((part) => ({
        length: part.length,
        bytes: part,
        crc: crc32c(part),
      }));
      if (tail === undefined || head === undefined) throw new Error('no parts');
      const begun = {
        ...before,
        map: new ChangeMap(),
        tail: { ...tail, lsn, totalBytes: bytes.length },
      };
      const ended = {
        ...next,
        map: new ChangeMap(),
        firstRecord: next.firstRecord && { ...next.firstRecord, prev: lsn },
        head: { ...head, remainingBytes: head.length, overwritten: false },
      };
      const chain = new ChangeChain();
      chain.append(begun);
      expect(chain.completeTo).toBe(lsn);
      expect(chain.append(ended)).toEqual({ kind: 'joined' });
      expect(changeText(chain.map)).toEqual([CHANGED]);
      const lost = new ChangeChain();
      lost.append(begun);
      const overwritten = { ...ended.head, remainingBytes: 0, overwritten: true };
      const firstRecord = next.firstRecord && {
        ...next.firstRecord,
        prev: before.lastRecordLsn ?? lsn,
      };
      expect(lost.append({ ...ended, firstRecord, head: overwritten })).toEqual({ kind: 'joined' });
      expect(changeText(lost.map)).toEqual([]);
    }
  });

  test('takes no span that does not belong behind it, and stays as it was', () => {
    for (const [row, span] of spans.entries()) {
      for (const [other, next] of spans.entries()) {
        if (other === row + 1) continue;
        const chain = new ChangeChain();
        chain.append(span);
        expect(chain.append(next)).toEqual({ kind: 'broken', problem: 'not-adjacent' });
        expect(chain.completeTo).toBe(span.tail?.lsn ?? span.endLsn);
      }
    }
  });

  test.each([
    ['other-cluster', { systemIdentifier: 7n }],
    ['other-cluster', { majorVersion: 17 as const }],
    ['timeline-goes-back', { timelines: { first: 0, last: 1 } }],
    ['missing-continuation', { head: undefined }],
    ['bad-prev-link', { firstRecord: { lsn: toLsn(8n), prev: toLsn(8n) } }],
  ])('is broken by %s', (problem, change) => {
    const [before, next] = [spans[5], spans[6]];
    if (before === undefined || next === undefined) throw new Error('no span');
    const chain = new ChangeChain();
    chain.append(before);
    expect(chain.append({ ...next, ...change })).toEqual({ kind: 'broken', problem });
    expect(chain.append(next)).toEqual({ kind: 'joined' });
  });

  test('is broken by a continuation of another length, or of nothing', () => {
    const [before, next] = [spans[5], spans[6]];
    if (before === undefined || next?.head === undefined) throw new Error('no span');
    const longer = {
      ...next,
      head: { ...next.head, remainingBytes: next.head.remainingBytes + 8 },
    };
    const chain = new ChangeChain();
    chain.append(before);
    expect(chain.append(longer)).toEqual({ kind: 'broken', problem: 'bad-continuation-length' });
    const whole = new ChangeChain();
    whole.append({ ...before, tail: undefined });
    expect(whole.append(next)).toEqual({ kind: 'broken', problem: 'unexpected-continuation' });
  });
});
