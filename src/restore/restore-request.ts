import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { RecoveryTarget } from './target.ts';

export type RecoveryAction = 'pause' | 'promote' | 'shutdown';

/** `current`: the timeline of the backup; `latest`: the newest one that the repository knows. */
type TimelineChoice = TimelineId | 'current' | 'latest';

/** What a person asks of a restore. */
export type RestoreRequest = {
  readonly server: string;
  /** Absolute. */
  readonly targetDirectory: string;
  /** Null: the newest one that reaches the target. */
  readonly backup: BackupId | null;
  readonly target: RecoveryTarget;
  /** Null: `latest`, or with a named backup the newest timeline that the backup lies on. */
  readonly timeline: TimelineChoice | null;
  /** Null: promote without a target, pause with one. */
  readonly action: RecoveryAction | null;
  /** Folder by the tablespace's name or oid; absolute. */
  readonly tablespaces: ReadonlyMap<string, string>;
  /** What the backup's other symbolic links shall point to, by their path in the data directory. */
  readonly links: ReadonlyMap<string, string>;
  /** Where pg_wal shall lie; null: inside the data directory. */
  readonly walDirectory: string | null;
  readonly wal: 'fetch' | 'copy';
  readonly standby: boolean;
  readonly archiveMode: 'off' | 'preserve';
  /** Settings of the restored server, over everything else. */
  readonly settings: ReadonlyMap<string, string>;
  /** The account that gets the files; null: as `resolveOwner` says. */
  readonly owner: string | null;
  /** Into the folders of the stopped server, or of an unfinished restore: keep what is right already. */
  readonly delta: boolean;
  readonly rateBytesPerSecond: number | null;
  readonly jobs: number;
};
