/**
 * WAL of the backup, straight from the server's pg_wal: where Walnut reads the server's files anyway, a finished segment
 * need not come through the archiver's queue and a start of `wal push`, which then finds it stored. A receiver has a segment
 * as soon as it is finished: there this would only be the same work once more.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pushFile } from '../archive/push.ts';
import { must } from '../lib/assert.ts';
import { messageOf } from '../lib/walnut-error.ts';
import { flushedLsn } from '../postgres/connection/backup-functions.ts';
import type { Lsn } from '../postgres/lsn.ts';
import {
  formatSegmentName,
  segmentNumberAt,
  segmentNumberBefore,
  segmentStart,
  type SegmentPosition,
} from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupContext } from './backup-context.ts';

/** At a time: what is far behind is the archiver's, which takes several ahead. */
const SEGMENTS_MAX = 8n;
/** Held in memory whole. */
const SEGMENT_BYTES_MAX: number = 64 * 1024 * 1024;

export type WalStretch = {
  readonly timeline: TimelineId;
  /** Where stored WAL ends. */
  readonly from: Lsn;
  /** Up to where it is needed. */
  readonly to: Lsn;
};

/**
 * Whether finished segments can be taken from the server's pg_wal: by the account that owns it, which runs archive_command
 * too. Objects and folders that another account made could be closed to that one, and its archiving would stop.
 */
export async function canHandOverWal(context: BackupContext): Promise<boolean> {
  const { connected, options } = context;
  const folder = walFolderOf(context);
  // What a standby received is its own only up to where it was streamed, and old files are used again before.
  const isPrimary = connected.isStandby === false;
  if (folder === null || !isPrimary || !options.walSupply.isArchiver) return false;
  if (connected.incarnation.walSegmentBytes > SEGMENT_BYTES_MAX) return false;
  const owner = await stat(folder).catch(() => null);
  return owner !== null && owner.uid === process.geteuid?.();
}

/**
 * Stores the first segments of a stretch that the server has finished and still has; answers how many were new. That it
 * cannot is said and is no error: WAL comes by its ordinary way too.
 */
export async function handOverWal(context: BackupContext, stretch: WalStretch): Promise<number> {
  if (!(await canHandOverWal(context))) return 0;
  const { connected, progress, signal } = context;
  const { walSegmentBytes } = connected.incarnation;
  let stored = 0;
  try {
    const flushed = await flushedLsn(connected.session);
    const first = segmentNumberAt(stretch.from, walSegmentBytes);
    const last = segmentNumberBefore(stretch.to, walSegmentBytes);
    const end = first + SEGMENTS_MAX <= last ? first + SEGMENTS_MAX : last + 1n;
    for (let number = first; number < end; number += 1n) {
      signal.throwIfAborted();
      // Only a segment that is flushed to its last byte will never be another one.
      if (segmentStart(number + 1n, walSegmentBytes) > flushed) break;
      if (await storeFinished(context, { timeline: stretch.timeline, number })) stored += 1;
    }
  } catch (error) {
    signal.throwIfAborted();
    // Archived meanwhile, and gone or used again; or of a timeline that this one left.
    if (!isMissing(error)) {
      progress.note(`could not take WAL from the server's pg_wal: ${messageOf(error)}`);
    }
  }
  return stored;
}

/** False when it was there already. */
async function storeFinished(context: BackupContext, position: SegmentPosition): Promise<boolean> {
  const { store, server, level } = context.options;
  const { incarnation } = context.connected;
  const name = formatSegmentName(position, incarnation.walSegmentBytes);
  const folder = must(walFolderOf(context), 'the server stands on this host');
  const { outcome } = await pushFile({ store, server, incarnation, level }, join(folder, name));
  return outcome === 'stored';
}

/** Null where the server's files are not on this host. */
function walFolderOf({ source }: BackupContext): string | null {
  if (source.kind !== 'local' || source.workerSource.kind !== 'local') return null;
  return join(source.workerSource.dataDirectory, 'pg_wal');
}

function isMissing(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}
