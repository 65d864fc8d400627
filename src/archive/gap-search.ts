import { hasCode } from '../lib/walnut-error.ts';
import type { Session } from '../postgres/connection/session.ts';
import { startWalStream } from '../postgres/replication/wal-stream.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { positionOf, type StartPosition } from './start-position.ts';

/** A server answers with WAL or with the refusal at once; this only bounds a server that hangs. */
const ANSWER_MS_MAX = 30_000;

export type GapSearch = {
  readonly history: TimelineHistory;
  readonly segmentBytes: number;
  /** The first segment that is known to be gone. */
  readonly missing: bigint;
  /** A segment that the server must still have. */
  readonly present: bigint;
};

/** The oldest segment that the server still has between one that is gone and one that is not: the gap is no longer than it must be. */
export async function findOldestSegment(
  session: Session,
  search: GapSearch,
): Promise<StartPosition> {
  let missing = search.missing;
  let present = search.present > missing ? search.present : missing + 1n;
  while (present - missing > 1n) {
    const middle = (missing + present) / 2n;
    if (await isPresent(session, positionOf(search, middle))) present = middle;
    else missing = middle;
  }
  return positionOf(search, present);
}

async function isPresent(session: Session, { timeline, lsn }: StartPosition): Promise<boolean> {
  try {
    const stream = await startWalStream(session, { start: lsn, timeline });
    await stream.readBatch({ timeoutMs: ANSWER_MS_MAX });
    stream.stop();
    while (stream.end === null) await stream.readBatch({ timeoutMs: ANSWER_MS_MAX });
    return true;
  } catch (error) {
    if (hasCode(error, 'wal-gap')) return false;
    throw error;
  }
}
