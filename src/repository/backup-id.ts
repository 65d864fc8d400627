declare const backupIdBrand: unique symbol;
declare const backupStampBrand: unique symbol;

/** Names a backup by the UTC second it began in and its type: `20261122T191500Z-F`. */
export type BackupId = string & { readonly [backupIdBrand]: true };

export const BACKUP_TYPES = ['full', 'differential', 'incremental'] as const;

export type BackupType = (typeof BACKUP_TYPES)[number];

const LETTERS: Readonly<Record<BackupType, string>> = {
  full: 'F',
  differential: 'D',
  incremental: 'I',
};
const BACKUP_ID = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[FDI]$/;

export function isBackupId(text: string): text is BackupId {
  return BACKUP_ID.test(text) && !Number.isNaN(secondOf(text as BackupId));
}

/** The second of a new backup's id, such as `20261122T191500Z`: taken before its type is known. */
export type BackupStamp = string & { readonly [backupStampBrand]: true };

/**
 * The first free second not earlier than the newest backup's, so that ids sort by age even when the clock has jumped
 * back.
 */
export function newBackupStamp(now: Date, taken: readonly BackupId[]): BackupStamp {
  const newest = Math.max(0, ...taken.map((id) => secondOf(id)));
  const seconds = new Set(taken.map((id) => secondOf(id)));
  let second = Math.max(Math.floor(now.getTime() / 1000), newest);
  while (seconds.has(second)) second += 1;
  return new Date(second * 1000)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '') as BackupStamp;
}

export function backupIdOf(stamp: BackupStamp, type: BackupType): BackupId {
  return `${stamp}-${LETTERS[type]}` as BackupId;
}

function secondOf(id: BackupId): number {
  const iso = id.replace(BACKUP_ID, '$1-$2-$3T$4:$5:$6Z');
  return Date.parse(iso) / 1000;
}
