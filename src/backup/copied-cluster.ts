import type { Lsn } from '../postgres/lsn.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { CopyResult } from './copy-files.ts';
import type { BackupGround } from './decide-ground.ts';

/** A cluster copied between start and stop, whichever way: what the manifest is made of. */
export type CopiedCluster = CopyResult & {
  readonly id: BackupId;
  readonly ground: BackupGround;
  readonly timeline: TimelineId;
  readonly stopTimeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  /** By the database server's clock. */
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** `global/pg_control`, copied after everything else. */
  readonly controlFile: Buffer;
  readonly backupLabel: Buffer;
  readonly tablespaceMap: Buffer;
  readonly tablespaces: Manifest['tablespaces'];
  readonly fromStandby: boolean;
  /** Configuration files outside the data directory, as far as they could be read. */
  readonly externalFiles: Manifest['externalFiles'];
};
