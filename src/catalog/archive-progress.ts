/**
 * What the receiver knows beside the WAL itself: that at a moment of the server's clock the archive held all WAL there
 * was. It lets the recovery window of an idle server advance. Mutable, and not needed to restore anything.
 */
import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WalScope } from './wal-inventory.ts';

export type ArchiveProgress = {
  readonly timeline: TimelineId;
  /** All WAL before this position was stored … */
  readonly lsn: Lsn;
  /** … and was all there was at this time by the server's clock; microseconds since 1970-01-01 UTC. */
  readonly completeMicros: bigint;
};

/** Null when nothing is known, or what is stored cannot be read. */
export declare function readArchiveProgress(
  store: ObjectStore,
  scope: WalScope,
): Promise<ArchiveProgress | null>;

export declare function recordArchiveProgress(
  store: ObjectStore,
  scope: WalScope,
  progress: ArchiveProgress,
): Promise<void>;
