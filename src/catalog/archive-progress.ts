/**
 * What the receiver knows beside the WAL itself: that at a moment of the server's clock the archive held all WAL there
 * was. It lets the recovery window of an idle server advance. Mutable, and not needed to restore anything.
 */
import { z } from 'zod';
import { hasCode } from '../lib/walnut-error.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import { serverKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WalScope } from './wal-inventory.ts';

const PROGRESS_BYTES_MAX = 4096;

const progressSchema = z.strictObject({
  version: z.literal(1),
  incarnation: z.string(),
  timeline: z.number().int(),
  lsn: z.string(),
  completeUs: z.number(),
});

export type ArchiveProgress = {
  readonly timeline: TimelineId;
  /** All WAL before this position was stored … */
  readonly lsn: Lsn;
  /** … and was all there was at this time by the server's clock; µs since 2000-01-01 UTC, as in WAL. */
  readonly completeUs: number;
};

/** Null when nothing is known, or what is stored cannot be read or belongs to another incarnation. */
export async function readArchiveProgress(
  store: ObjectStore,
  scope: WalScope,
): Promise<ArchiveProgress | null> {
  try {
    const content = await store.get(serverKeys.walComplete(scope.server), PROGRESS_BYTES_MAX);
    const parsed = progressSchema.parse(JSON.parse(content.toString('utf8')));
    if (parsed.incarnation !== nameOfIncarnation(scope.incarnation)) return null;
    const { completeUs } = parsed;
    return { timeline: toTimelineId(parsed.timeline), lsn: parseLsn(parsed.lsn), completeUs };
  } catch (error) {
    const isUnreadable =
      hasCode(error, 'object-missing', 'object-damaged') ||
      error instanceof SyntaxError ||
      error instanceof RangeError ||
      error instanceof z.ZodError;
    if (!isUnreadable) throw error;
    return null;
  }
}

export async function recordArchiveProgress(
  store: ObjectStore,
  scope: WalScope,
  progress: ArchiveProgress,
): Promise<void> {
  const document: z.infer<typeof progressSchema> = {
    version: 1,
    incarnation: nameOfIncarnation(scope.incarnation),
    timeline: progress.timeline,
    lsn: formatLsn(progress.lsn),
    completeUs: progress.completeUs,
  };
  const key = serverKeys.walComplete(scope.server);
  await store.replace(key, Buffer.from(JSON.stringify(document)));
}
