/** Finds out which pages changed since a parent began: from stored WAL, or from the server's own summaries. */
import type { LsnSpan } from '../catalog/change-plan.ts';
import { readChanges, type Changes } from '../catalog/changes.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import { followWal, isRecordedGap } from '../catalog/wal-path.ts';
import { messageOf } from '../lib/walnut-error.ts';
import { sleep } from '../lib/sleep.ts';
import { switchWal } from '../postgres/connection/backup-functions.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import { LONG_PAGE_HEADER_BYTES } from '../postgres/wal/wal-constants.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import type { BackupContext } from './backup-context.ts';
import { canHandOverWal, handOverWal } from './hand-over-wal.ts';
import type { ChangeSource } from './decide-ground.ts';
import type { PageChanges } from './page-changes.ts';
import { summarizedChanges } from './summarized-changes.ts';

export type FoundChanges =
  | { readonly kind: 'known'; readonly changeSource: ChangeSource; readonly changes: PageChanges }
  /** Not to be known; comparing tells. */
  | { readonly kind: 'gap'; readonly reason: string }
  /** Pages changed in a way that neither WAL nor a comparison with the parent makes up for. */
  | { readonly kind: 'unusable'; readonly reason: string };

export type ChangeQuestion = {
  readonly parent: BackupRecord;
  /** Of the timeline that the new backup is on. */
  readonly history: TimelineHistory;
  /** Where the new backup starts. */
  readonly startLsn: Lsn;
};

const POLL_FIRST_MS = 50;
const POLL_MAX_MS = 1000;
/**
 * A receiver stores pieces of the open segment every two seconds; an archive gets a segment only when it is full. A backup
 * that takes segments from pg_wal itself has nothing to wait for.
 */
const SWITCH_AFTER_MS = 3000;
/**
 * A gap may close by itself: segments arrive in any order, and pieces give way to their segment while one reads. One that
 * a receiver has recorded does not: the server itself no longer had that WAL.
 */
const GAP_GRACE_MS = 5000;

export async function findChanges(
  context: BackupContext,
  { parent, history, startLsn }: ChangeQuestion,
): Promise<FoundChanges> {
  const span = { timeline: history.timeline, from: parent.startLsn, to: startLsn };
  const archived = await archivedChanges(context, span);
  if (archived.kind === 'known') {
    return { kind: 'known', changeSource: 'archive', changes: archived.map };
  }
  if (archived.kind === 'unusable') {
    return { kind: 'unusable', reason: archived.reason };
  }
  const summarized = await summarizedChanges(context, { ...span, history });
  if (summarized.kind === 'gap') {
    return { kind: 'gap', reason: `${archived.reason}; ${summarized.reason}` };
  }
  context.progress.note(`${archived.reason}: the server's own WAL summaries tell what changed`);
  return { kind: 'known', changeSource: 'summaries', changes: summarized.map };
}

/** Waits, with a limit, until stored WAL reaches the start of the new backup. */
async function archivedChanges(context: BackupContext, span: LsnSpan): Promise<Changes> {
  const { options, connected, progress, signal } = context;
  const begunMs = Date.now();
  let pauseMs = POLL_FIRST_MS;
  let isSwitched = connected.isStandby === true;
  for (;;) {
    const seen = await lookForChanges(context, span);
    const waitedMs = Date.now() - begunMs;
    if (seen.kind === 'known' || seen.kind === 'unusable') return seen;
    if (seen.kind === 'gap' && (seen.isRecorded || waitedMs > GAP_GRACE_MS)) return seen;
    if (waitedMs > options.walTimeoutMs) return notArrived(seen.from, span.to, waitedMs);
    if (seen.kind === 'waiting') {
      if ((await handOverWal(context, { ...span, from: seen.from })) > 0) continue;
      if (!isSwitched && (waitedMs > SWITCH_AFTER_MS || (await canHandOverWal(context)))) {
        isSwitched = true;
        await switchSegmentOf(context);
        continue;
      }
    }
    progress.waitingForWal(span.to, seen.from);
    await sleep(pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, POLL_MAX_MS);
  }
}

type Seen =
  | Exclude<Changes, { readonly kind: 'gap' }>
  | (Extract<Changes, { readonly kind: 'gap' }> & { readonly isRecorded: boolean })
  /** Stored WAL ends, without a hole, before the span does. */
  | { readonly kind: 'waiting'; readonly from: Lsn };

async function lookForChanges(
  { options, connected, signal }: BackupContext,
  span: LsnSpan,
): Promise<Seen> {
  const { store, server } = options;
  const scope = { server, incarnation: connected.incarnation };
  const inventory = await readWalInventory(store, scope);
  const { end, hole } = followWal(inventory, span);
  if (hole === null && !reaches(end, span.to, inventory.segmentBytes)) {
    return { kind: 'waiting', from: end };
  }
  // Over a hole too: of WAL that retention gave up, the changes were kept.
  const found = await readChanges(store, inventory, { ...span, signal });
  if (found.kind !== 'gap') return found;
  if (hole === null) return { ...found, isRecorded: false };
  const reason = `WAL from ${formatLsn(hole.start)} to ${formatLsn(hole.end)} is missing`;
  return { kind: 'gap', from: end, reason, isRecorded: isRecordedGap(inventory, hole) };
}

function notArrived(from: Lsn, startLsn: Lsn, waitedMs: number): Changes {
  const seconds = Math.round(waitedMs / 1000);
  const reason = `WAL up to ${formatLsn(startLsn)} did not arrive within ${seconds} s`;
  return { kind: 'gap', from, reason };
}

/** A backup of an idle server starts with the first record of a segment: all WAL before it ends with the last one. */
function reaches(end: Lsn, startLsn: Lsn, segmentBytes: number): boolean {
  const segment = segmentStart(segmentNumberAt(startLsn, segmentBytes), segmentBytes);
  const isFirstRecord = startLsn - segment <= BigInt(LONG_PAGE_HEADER_BYTES);
  return end >= (isFirstRecord ? segment : startLsn);
}

/** Where WAL comes by `archive_command`, the segment that holds the start arrives when it is finished. */
async function switchSegmentOf({ connected, progress }: BackupContext): Promise<void> {
  try {
    await switchWal(connected.session);
  } catch (error) {
    progress.note(
      `could not switch to a new WAL segment, and waits until this one is full: ${messageOf(error)}`,
    );
  }
}
