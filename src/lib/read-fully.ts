import type { FileHandle } from 'node:fs/promises';

/** Reads until `into` is full or the file ends; answers the number of bytes. */
export async function readFully(
  handle: FileHandle,
  offset: number,
  into: Uint8Array,
): Promise<number> {
  let length = 0;
  while (length < into.length) {
    const { bytesRead } = await handle.read(into, length, into.length - length, offset + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}
