import type { BackupId } from '../repository/backup-id.ts';
import type { Lease } from '../storage/object-store.ts';
import type { BackupOptions } from './backup-options.ts';
import type { ChosenSource } from './choose-source.ts';
import type { BackupConnection } from './connect.ts';
import type { BackupProgress } from './progress.ts';

/** What the phases of one backup share. */
export type BackupContext = {
  readonly options: BackupOptions;
  readonly progress: BackupProgress;
  readonly signal: AbortSignal;
  readonly id: BackupId;
  readonly connected: BackupConnection;
  readonly source: ChosenSource;
  readonly lease: Lease;
  readonly warnings: string[];
  readonly startedMs: number;
};
