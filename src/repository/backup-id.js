export const BACKUP_TYPES = ['full', 'differential', 'incremental'];
const LETTERS = {
  full: 'F',
  differential: 'D',
  incremental: 'I',
};
const BACKUP_ID = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z-[FDI]$/;
export function isBackupId(text) {
  return BACKUP_ID.test(text) && !Number.isNaN(secondOf(text));
}
/**
 * The id of a new backup: the first free second not earlier than the newest backup's, so that ids sort by age even when
 * the clock has jumped back.
 */
export function newBackupId(type, now, taken) {
  const newest = Math.max(0, ...taken.map((id) => secondOf(id)));
  const seconds = new Set(taken.map((id) => secondOf(id)));
  let second = Math.max(Math.floor(now.getTime() / 1000), newest);
  while (seconds.has(second)) second += 1;
  const text = new Date(second * 1000)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '');
  return `${text}-${LETTERS[type]}`;
}
function secondOf(id) {
  const iso = id.replace(BACKUP_ID, '$1-$2-$3T$4:$5:$6Z');
  return Date.parse(iso) / 1000;
}
