/*
 * How fast WAL is walked and described, one core: node bench/wal-walk.ts FOLDER [SEGMENT_MB]
 * FOLDER holds finished segments of one timeline, such as a copy of a pg_wal. Files are read before the clock starts;
 * the clock counts CPU time, so that a busy machine does not change the result much.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSegmentName, segmentStart } from '../src/postgres/segment-name.ts';
import { RecordWalker } from '../src/postgres/wal/record-walker.ts';
import { encodeChangeSpan } from '../src/postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../src/postgres/wal/change-span.ts';
import { encodeSegmentFacts } from '../src/postgres/wal/segment-facts-codec.ts';
import { SegmentDescriber, type SegmentFacts } from '../src/postgres/wal/segment-facts.ts';
import type { RecordVisitor } from '../src/postgres/wal/wal-record.ts';

const RUNS = 5;
const [folder = '.', megabytes = '16'] = process.argv.slice(2);
const segmentBytes = Number(megabytes) * 1024 * 1024;
const files = readdirSync(folder)
  .filter((name) => /^[0-9A-F]{24}$/.test(name))
  .toSorted()
  .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }))
  .filter(({ bytes }) => bytes.length === segmentBytes);
const totalBytes = files.length * segmentBytes;

function measure(what: string, act: () => string): void {
  const rates: number[] = [];
  let note = '';
  for (let run = 0; run < RUNS; run += 1) {
    const begin = process.cpuUsage();
    note = act();
    const { user, system } = process.cpuUsage(begin);
    rates.push(totalBytes / (user + system));
  }
  const median = rates.toSorted((a, b) => a - b)[Math.floor(RUNS / 2)] ?? 0;
  console.log(`${what.padEnd(32)} ${median.toFixed(0).padStart(6)} MB per CPU s   ${note}`);
}

function walkAll(wantedBytes: number): string {
  let records = 0;
  const visitor: RecordVisitor = {
    wantedBytes: () => wantedBytes,
    record: () => {
      records += 1;
      return true;
    },
  };
  for (const { name, bytes } of files) {
    const start = segmentStart(parseSegmentName(name, segmentBytes).number, segmentBytes);
    new RecordWalker({ start, segmentBytes, visitor }).feed(bytes);
  }
  return `${records} records`;
}

let facts: SegmentFacts[] = [];
let changes: ChangeSpan[] = [];
console.log(`${files.length} segments, ${(totalBytes / 1e6).toFixed(0)} MB`);
measure('walk, no record wanted', () => walkAll(0));
measure('walk, every record held', () => walkAll(Infinity));
measure('describe (walk, index, changes)', () => {
  const describers = files.map(({ name, bytes }) => {
    const describer = new SegmentDescriber({ name, segmentBytes });
    describer.feed(bytes);
    return describer;
  });
  facts = describers.map((describer) => describer.finish());
  changes = describers.flatMap((describer) => describer.changes() ?? []);
  const count = facts.reduce((sum, { index }) => sum + index.transactions.count, 0);
  return `${count} transactions, ends: ${[...new Set(facts.map(({ end }) => end))].join(', ')}`;
});
measure('encode facts', () => {
  const bytes = facts.reduce((sum, entry) => sum + encodeSegmentFacts(entry).length, 0);
  return `${bytes} bytes`;
});
measure('encode changes', () => {
  const bytes = changes.reduce((sum, span) => sum + encodeChangeSpan(span).length, 0);
  return `${bytes} bytes`;
});
