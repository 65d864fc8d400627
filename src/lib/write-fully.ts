import { writeSync } from 'node:fs';

/** Writes all bytes at `position` of an open file, or at its present place when that is null. */
export function writeFully(descriptor: number, bytes: Uint8Array, position: number | null): void {
  let written = 0;
  while (written < bytes.length) {
    const at = position === null ? null : position + written;
    written += writeSync(descriptor, bytes, written, bytes.length - written, at);
  }
}
