import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';

/** What a receiver does, for whoever shows it or measures it. */
export type ReceiverEvent =
  | {
      readonly kind: 'streaming';
      readonly slot: string;
      readonly timeline: TimelineId;
      readonly start: Lsn;
    }
  | {
      readonly kind: 'segment-stored';
      readonly timeline: TimelineId;
      readonly segment: string;
      readonly bytes: number;
      readonly storedBytes: number;
      /** How far behind the server's end of WAL the segment's end is; null while not connected. */
      readonly lagBytes: number | null;
    }
  | {
      readonly kind: 'piece-stored';
      readonly timeline: TimelineId;
      readonly segment: string;
      readonly offset: number;
      readonly bytes: number;
    }
  | { readonly kind: 'history-stored'; readonly timeline: TimelineId }
  | {
      readonly kind: 'timeline-switched';
      readonly from: TimelineId;
      readonly to: TimelineId;
      readonly switchLsn: Lsn;
    }
  | {
      readonly kind: 'gap';
      readonly timeline: TimelineId;
      readonly start: Lsn;
      readonly end: Lsn;
      readonly reason: string;
    }
  /** The server or the repository is away, or the spool is full; everything received stays in the spool meanwhile. */
  | { readonly kind: 'retrying'; readonly reason: string; readonly delayMs: number }
  | { readonly kind: 'stopped'; readonly flushed: Lsn | null };

export type ReceiverProgress = (event: ReceiverEvent) => void;
