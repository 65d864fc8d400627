import { isBackupHistoryName } from '../catalog/wal-key.ts';
import { isSegmentName } from '../postgres/segment-name.ts';
import { parseHistoryFileName } from '../postgres/timeline-history.ts';

const READY = '.ready';

/** Four scans of the archiver of 15 and later (NUM_FILES_PER_DIRECTORY_SCAN in pgarch.c) are answered by one start of Node. */
export const AHEAD_FILES_MAX = 255;
/** The file that was asked for is acknowledged only after those ahead of it; time ends it earlier where storing is slow. */
const AHEAD_BYTES_MAX: number = 4 * 1024 * 1024 * 1024;

/**
 * The files that the archiver will ask for after `asked`, in its order (history files first, then by name), as far as
 * the limits go. `.partial` files are left to their own turn: how they compare to what is stored is not cheap.
 * @param statusNames the entries of `archive_status`.
 */
export function chooseAhead(
  statusNames: readonly string[],
  { asked, segmentBytes }: { readonly asked: string; readonly segmentBytes: number },
): string[] {
  const waiting = statusNames
    .filter((name) => name.endsWith(READY))
    .map((name) => name.slice(0, -READY.length))
    .filter((name) => name !== asked && isPushedAhead(name))
    .toSorted(inArchiveOrder);
  const filesMax = Math.min(AHEAD_FILES_MAX, Math.floor(AHEAD_BYTES_MAX / segmentBytes));
  return waiting.slice(0, filesMax);
}

/** Whether markers are made for files of this name. */
export function isPushedAhead(name: string): boolean {
  return isSegmentName(name) || parseHistoryFileName(name) !== null || isBackupHistoryName(name);
}

/** `ready_file_comparator` in src/backend/postmaster/pgarch.c. */
function inArchiveOrder(first: string, second: string): number {
  const byKind =
    Number(parseHistoryFileName(second) !== null) - Number(parseHistoryFileName(first) !== null);
  if (byKind !== 0) return byKind;
  if (first === second) return 0;
  return first < second ? -1 : 1;
}
