import type { BackupProgress } from '../../src/backup/progress.ts';

/** For copies whose progress nobody looks at. */
export const SILENT_PROGRESS: BackupProgress = {
  note: () => undefined,
  warning: () => undefined,
  waitingForCheckpoint: () => undefined,
  started: () => undefined,
  copied: () => undefined,
  waitingForWal: () => undefined,
};
