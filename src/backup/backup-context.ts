import type { BackupId, BackupStamp } from '../repository/backup-id.ts';
import type { Lease } from '../storage/object-store.ts';
import type { DeadAttempt } from './attempt-pages.ts';
import type { BackupOptions } from './backup-options.ts';
import type { ChosenSource } from './choose-source.ts';
import type { BackupConnection } from './connect.ts';
import type { BackupGround } from './decide-ground.ts';
import type { BackupProgress } from './progress.ts';

/** What the phases of one backup share. */
export type BackupContext = {
  readonly options: BackupOptions;
  readonly progress: BackupProgress;
  readonly signal: AbortSignal;
  /** Names the backup on the server, where its type is not known yet. */
  readonly stamp: BackupStamp;
  readonly connected: BackupConnection;
  readonly source: ChosenSource;
  readonly lease: Lease;
  /** Interrupted backups whose pages may be taken over. */
  readonly attempts: readonly DeadAttempt[];
  readonly warnings: string[];
  readonly startedMs: number;
};

/** From the moment when it is decided what the backup rests on. */
export type GroundedContext = BackupContext & {
  readonly id: BackupId;
  readonly ground: BackupGround;
};

/** Warnings are told at once and kept in the manifest. */
export function warnOf({
  warnings,
  progress,
}: Pick<BackupContext, 'warnings' | 'progress'>): (text: string) => void {
  return (text) => {
    warnings.push(text);
    progress.warning(text);
  };
}
