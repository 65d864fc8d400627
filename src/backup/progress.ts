import type { BackupId, BackupType } from '../repository/backup-id.ts';
import type { Lsn } from '../postgres/lsn.ts';

/** What a backup tells while it runs; the engine never prints. */
export type BackupProgress = {
  /** A decision worth knowing: the source chosen and why, a parent passed over, rubbish removed. */
  note(text: string): void;
  warning(text: string): void;
  waitingForCheckpoint(): void;
  started(facts: {
    readonly id: BackupId;
    readonly type: BackupType;
    readonly startLsn: Lsn;
    /** Estimated bytes to copy; null when the role may not ask. */
    readonly expectedBytes: number | null;
  }): void;
  /** Bytes read since the last call, and stored in all. */
  copied(readBytes: number, storedBytes: number): void;
  waitingForWal(stopLsn: Lsn, arrivedLsn: Lsn | null): void;
};

/** For backups that nobody watches. */
export const SILENT_PROGRESS: BackupProgress = {
  note: () => undefined,
  warning: () => undefined,
  waitingForCheckpoint: () => undefined,
  started: () => undefined,
  copied: () => undefined,
  waitingForWal: () => undefined,
};
