import { describe, expect, test } from 'vitest';
import { makeFixtureArchive, type FixtureArchive } from '../../test/support/stored-wal.ts';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
} from '../../test/fixtures/wal/load.ts';
import { ByteWriter } from '../lib/byte-writer.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { SUPPORTED_MAJORS, type MajorVersion } from '../postgres/version.ts';
import { ChangeCollector, type RecordBounds } from '../postgres/wal/change-collector.ts';
import { writeChangeMap } from '../postgres/wal/change-map-codec.ts';
import type { ChangeMap } from '../postgres/wal/change-map.ts';
import { tryParseRecord } from '../postgres/wal/record-parser.ts';
import { RecordWalker } from '../postgres/wal/record-walker.ts';
import { describeSegment } from '../postgres/wal/segment-facts.ts';
import { readChanges, type Changes } from './changes.ts';
import { readWalInventory } from './wal-inventory.ts';

const SIZE = FIXTURE_SEGMENT_BYTES;
const startOf = (name: string): Lsn => segmentStart(parseSegmentName(name, SIZE).number, SIZE);

function bytesOf(map: ChangeMap): string {
  const writer = new ByteWriter();
  writeChangeMap(writer, map);
  return writer.view().toString('hex');
}

/** One walk over all WAL along the history. */
function walked(major: MajorVersion, bounds: RecordBounds): { map: ChangeMap; end: Lsn } {
  const { path } = expectedWal(major);
  const start = startOf(path[0] ?? '');
  const collector = new ChangeCollector(start, bounds);
  const walker = new RecordWalker({
    start,
    segmentBytes: SIZE,
    visitor: {
      wantedBytes: () => Infinity,
      record: (record) => {
        const fact = tryParseRecord(record);
        if (fact === false) return false;
        collector.add(record, fact);
        return true;
      },
    },
  });
  for (const name of path) walker.feed(fixtureSegment(major, name));
  return { map: collector.map, end: walker.validEnd };
}

/** The archive of the fixture's server after its promotion: the last segment of each timeline is `.partial`. */
async function archiveOf(major: MajorVersion): Promise<FixtureArchive> {
  const archive = await makeFixtureArchive(major);
  const { segments } = expectedWal(major);
  const left = segments.findLast((name) => name.startsWith('00000001')) ?? '';
  const newest = segments.at(-1) ?? '';
  await archive.pushFixtures(segments.filter((name) => name !== left && name !== newest));
  const partial = fixtureSegment(major, left);
  const { validEnd } = describeSegment(partial, { name: left, segmentBytes: SIZE });
  await archive.push(
    '00000002.history',
    `1\t${formatLsn(validEnd)}\tno recovery target specified\n`,
  );
  await archive.push(`${left}.partial`, partial);
  await archive.push(`${newest}.partial`, fixtureSegment(major, newest));
  return archive;
}

async function changesOf(
  { store, scope }: FixtureArchive,
  span: { readonly from: Lsn; readonly to: Lsn; readonly timeline?: number },
): Promise<Changes> {
  const inventory = await readWalInventory(store, scope);
  const { signal } = new AbortController();
  const { from, to, timeline = 2 } = span;
  return readChanges(store, inventory, { timeline: toTimelineId(timeline), from, to, signal });
}

function mapOf(changes: Changes): ChangeMap {
  if (changes.kind !== 'known') throw new Error(`${changes.kind}: ${changes.reason}`);
  return changes.map;
}

describe.each(SUPPORTED_MAJORS)('changes of stored WAL of %i', (major) => {
  test('are those of one walk', async () => {
    const archive = await archiveOf(major);
    const from = toLsn(startOf(expectedWal(major).path[0] ?? '') + 40n);
    const { map, end: to } = walked(major, { from });
    const found = mapOf(await changesOf(archive, { from, to }));
    expect(bytesOf(found)).toBe(bytesOf(map));
    expect(found.forks().length).toBeGreaterThan(20);
  });
});
