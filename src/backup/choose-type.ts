import type { BackupType } from '../repository/backup-id.ts';
import type { BackupProgress } from './progress.ts';

/** The type of the backup to take: this release takes full ones, and says so when asked for another. */
export function chooseType(asked: BackupType | null, progress: BackupProgress): BackupType {
  if (asked !== null && asked !== 'full') {
    progress.warning(
      `this release of Walnut takes full backups only: taking a full instead of a ${asked} one`,
    );
  }
  return 'full';
}
