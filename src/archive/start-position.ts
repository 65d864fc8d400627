/** Where to begin to receive, decided from what is already held. */
import type { Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import { extentOf, timelinesOf, type TimelineHistory } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';

export type StartRequest = {
  /** Of the timeline that the server is on. */
  readonly history: TimelineHistory;
  readonly segmentBytes: number;
  /** The last segment of a timeline that need not be received; null when nothing of it is held. */
  readonly lastSegment: (timeline: TimelineId) => bigint | null;
  /** Where the slot begins to keep WAL, for a server of which nothing is held yet. */
  readonly slotLsn: Lsn;
};

export type StartPosition = {
  readonly timeline: TimelineId;
  /** Start of a segment. */
  readonly lsn: Lsn;
};

/**
 * The segment after the last one that is held on the server's history; the slot's position counts only when nothing
 * is. A timeline's segments from the one of its switch point on belong to the next timeline.
 */
export function decideStart(request: StartRequest): StartPosition {
  const { history, segmentBytes, lastSegment } = request;
  for (const timeline of timelinesOf(history).toReversed()) {
    const extent = extentOf(history, timeline);
    const last = lastSegment(timeline);
    if (extent === null || last === null) continue;
    // Whole segments from before the branch point are copies of the parent's that its own server archived.
    if (last < segmentNumberAt(extent.start, segmentBytes)) continue;
    const branch = extent.end === null ? null : segmentNumberAt(extent.end, segmentBytes);
    return positionOf(request, branch !== null && branch <= last ? branch : last + 1n);
  }
  return positionOf(request, segmentNumberAt(request.slotLsn, segmentBytes));
}

/**
 * The start of a segment on the timeline that is to be asked for it: where a switch point lies in the segment, the newest
 * that begins in it, because its file holds the parent's WAL up to the branch as well.
 */
export function positionOf(
  { history, segmentBytes }: Pick<StartRequest, 'history' | 'segmentBytes'>,
  number: bigint,
): StartPosition {
  const newest = timelinesOf(history).findLast((timeline) => {
    const extent = extentOf(history, timeline);
    return extent !== null && segmentNumberAt(extent.start, segmentBytes) <= number;
  });
  return { timeline: newest ?? history.timeline, lsn: segmentStart(number, segmentBytes) };
}
