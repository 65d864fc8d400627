/**
 * Sealed changes: those of a run of segments joined in one object, so that a backup's range is read in a few steps, and so
 * that changes outlive the WAL that told them (docs/repository-format.md, "WAL changes").
 */
import { hasCode } from '../lib/walnut-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentStart } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { ChangeChain, describeJoinProblem } from '../postgres/wal/change-chain.ts';
import { encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { walKeys } from '../repository/layout.ts';
import { putSealed } from '../repository/sealed-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { ChangeReader } from './segment-changes.ts';
import { holdsSegment, type StoredIndex, type WalInventory } from './wal-inventory.ts';
import type { WalPathSegment } from './wal-path.ts';

const CHANGES_LEVEL = 3;

/** Segments [first, last] of one timeline's own files. */
export type TimelineRun = {
  readonly timeline: TimelineId;
  readonly first: bigint;
  readonly last: bigint;
};

export type SealedRun =
  | { readonly kind: 'sealed'; readonly key: string }
  /** The segments do not join into one range: `lsn` is where the part begins that does not continue what is before it. */
  | { readonly kind: 'gap'; readonly lsn: Lsn; readonly reason: string };

/**
 * Joins the changes of a run and stores them; what is sealed already is stored no second time. Of a timeline that was left, a
 * run that ends behind the switch point serves no other timeline: end it with the segment before, and begin the child's
 * run with its copy of the segment that holds the switch point.
 */
export async function sealChanges(
  store: ObjectStore,
  inventory: WalInventory,
  run: TimelineRun,
): Promise<SealedRun> {
  const { server, name: incarnation, segmentBytes } = inventory;
  const joined = await joinRun(store, inventory, run);
  if ('kind' in joined) return joined;
  const nameOf = (number: bigint): string =>
    formatSegmentName({ timeline: run.timeline, number }, segmentBytes);
  const place = { server, incarnation, timeline: run.timeline };
  const key = walKeys.changes(place, nameOf(run.first), nameOf(run.last));
  try {
    const plain = encodeChangeSpan(joined);
    await putSealed(store, key, { kind: 'wal-changes', plain, level: CHANGES_LEVEL });
  } catch (error) {
    // Sealed meanwhile by another process: the same WAL, perhaps written by another release.
    if (!hasCode(error, 'object-exists')) throw error;
  }
  return { kind: 'sealed', key };
}

async function joinRun(
  store: ObjectStore,
  inventory: WalInventory,
  run: TimelineRun,
): Promise<ChangeSpan | Extract<SealedRun, { kind: 'gap' }>> {
  const { segmentBytes } = inventory;
  const reader = new ChangeReader(store, inventory);
  const chain = new ChangeChain();
  for (let number = run.first; number <= run.last;) {
    const lsn = segmentStart(number, segmentBytes);
    const next = await readNext(reader, inventory, { ...run, first: number });
    if (next === null) return { kind: 'gap', lsn, reason: 'the segment is not stored whole' };
    let step = chain.append(next);
    if (step.kind === 'needs-record') {
      const record = await reader.record(step.lsn, segmentsFrom(inventory, run, step.lsn));
      if (record !== null) step = chain.append(next, record);
    }
    if (step.kind === 'needs-record') {
      return {
        kind: 'gap',
        lsn,
        reason: 'the record that goes on into the segment cannot be read',
      };
    }
    if (step.kind === 'broken')
      return { kind: 'gap', lsn, reason: describeJoinProblem(step.problem) };
    if (!next.isClosed) return { kind: 'gap', lsn: next.endLsn, reason: 'the segment ends early' };
    number += (next.endLsn - lsn) / BigInt(segmentBytes);
  }
  const { span } = chain;
  return (
    span ?? { kind: 'gap', lsn: segmentStart(run.first, segmentBytes), reason: 'the run is empty' }
  );
}

/** The segment at the run's beginning, or sealed changes that begin there and do not reach beyond the run. */
async function readNext(
  reader: ChangeReader,
  inventory: WalInventory,
  { timeline, first, last }: TimelineRun,
): Promise<ChangeSpan | null> {
  const stored = inventory.timelines.get(timeline);
  if (stored === undefined) return null;
  const fitting = stored.changes
    .filter((sealed) => sealed.first === first && sealed.last <= last)
    .toSorted((one, other) => (one.last > other.last ? -1 : 1));
  for (const sealed of fitting) {
    const span = await readSealed(reader, sealed);
    if (span !== null) return span;
  }
  if (!holdsSegment(stored, first)) return null;
  return reader.segment(wholeSegment(timeline, first, inventory.segmentBytes));
}

async function readSealed(reader: ChangeReader, sealed: StoredIndex): Promise<ChangeSpan | null> {
  try {
    return await reader.sealed(sealed);
  } catch (error) {
    if (!hasCode(error, 'object-damaged', 'object-missing', 'unsupported')) throw error;
    return null;
  }
}

function segmentsFrom(inventory: WalInventory, run: TimelineRun, lsn: Lsn): WalPathSegment[] {
  const { segmentBytes } = inventory;
  const segments: WalPathSegment[] = [];
  for (let number = lsn / BigInt(segmentBytes); number <= run.last; number += 1n) {
    segments.push(wholeSegment(run.timeline, number, segmentBytes));
  }
  return segments;
}

function wholeSegment(timeline: TimelineId, number: bigint, segmentBytes: number): WalPathSegment {
  const name = formatSegmentName({ timeline, number }, segmentBytes);
  return { timeline, number, name, open: null };
}
