import { CONTROL_FILE_PATH } from '../postgres/cluster/control-file.ts';
import type { FileEntry } from '../repository/map-chunk.ts';

const LEFT_OUT: ReadonlySet<string> = new Set([
  CONTROL_FILE_PATH,
  'backup_label',
  'tablespace_map',
]);

/** Files that the restore writes itself, from the manifest's head; the map's own would come too early or be wrong. */
export function isLeftOut(path: string): boolean {
  return LEFT_OUT.has(path);
}

/** True when all of the file lies in one frame, so that its hash is checked before it is written. */
export function isWholeInOneExtent({ extents, sizeBytes }: FileEntry): boolean {
  return extents.length === 1 && extents[0]?.bytes === sizeBytes;
}
