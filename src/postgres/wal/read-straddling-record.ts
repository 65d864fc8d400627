import type { StraddlingRecord } from './join-segments.ts';
import { isParsed, tryParseRecord } from './record-parser.ts';
import { RecordWalker } from './record-walker.ts';
import type { SegmentFacts } from './segment-facts.ts';
import { SegmentIndexBuilder } from './segment-index.ts';
import type { WalStop } from './wal-stop.ts';

/**
 * What `joinSegments` cannot read from facts alone: the record that begins in `begins` and ends behind it.
 * @param pieces the bytes of that segment and of those after it, in order; no more are taken than are needed.
 * @returns the record, or what stops the walk before its end; `undefined` when the pieces end first.
 */
export function readStraddlingRecord(
  pieces: Iterable<Uint8Array>,
  begins: SegmentFacts,
): StraddlingRecord | WalStop | undefined {
  const lsn = begins.tail?.lsn;
  const builder = new SegmentIndexBuilder(begins.startLsn);
  let found: StraddlingRecord | undefined;
  const walker = new RecordWalker({
    start: begins.startLsn,
    segmentBytes: begins.segmentBytes,
    majorVersion: begins.majorVersion,
    systemIdentifier: begins.systemIdentifier,
    visitor: {
      wantedBytes: (manager, info) => (isParsed(manager, info) ? Infinity : 0),
      record: (record) => {
        if (record.lsn !== lsn) return true;
        const fact = tryParseRecord(record);
        if (fact === false) return false;
        if (fact !== undefined) builder.add(fact, record);
        found = { lsn, endLsn: record.endLsn, index: builder.build() };
        return true;
      },
    },
  });
  for (const piece of pieces) {
    walker.feed(piece);
    if (found !== undefined) return found;
    if (walker.stop !== undefined) return walker.stop;
  }
  return undefined;
}
