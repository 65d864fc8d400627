/** Copies a file that is no relation: hashed as a whole, and stored only as far as the parent does not hold it already. */
import { Blake3 } from '../lib/hashing.ts';
import { FRAME_BYTES } from '../repository/frame.ts';
import type { ByteExtent, FileEntry } from '../repository/map-chunk.ts';
import type { CopyItem } from './copy-messages.ts';
import type { EarlierPages } from './earlier-pages.ts';
import type { FrameBuilder } from './frame-builder.ts';

type Tools = { readonly frames: FrameBuilder; readonly earlierPages: EarlierPages };

export type ByteCopy = {
  readonly path: string;
  readonly hasher: Blake3;
  readonly extents: ByteExtent[];
  /** The parent's file. */
  readonly earlier: FileEntry | null;
  /** Extents of a large earlier file by their offset. */
  readonly pieces: ReadonlyMap<number, ByteExtent>;
  /** Whether the content is at hand as a whole when it arrives. */
  readonly isSmall: boolean;
  result(): Pick<FileEntry, 'hash' | 'extents'>;
};

export function newByteCopy(item: CopyItem): ByteCopy {
  const hasher = new Blake3();
  const extents: ByteExtent[] = [];
  return {
    path: item.path,
    hasher,
    extents,
    earlier: item.earlierFile,
    pieces: piecesOf(item.earlierFile),
    isSmall: item.sizeBytes <= FRAME_BYTES && item.length === item.sizeBytes,
    result: () => ({ hash: Uint8Array.from(hasher.digest()), extents }),
  };
}

/** Takes the next bytes of the file. */
export async function copyBytes(
  { offset, bytes }: { readonly offset: number; readonly bytes: Uint8Array },
  copy: ByteCopy,
  tools: Tools,
): Promise<void> {
  copy.hasher.update(bytes);
  if (bytes.length === 0) return;
  const { path, earlier, extents } = copy;
  if (copy.isSmall && earlier !== null && isSameContent(earlier, bytes)) {
    extents.push(...earlier.extents);
    return;
  }
  for (let done = 0; done < bytes.length; done += FRAME_BYTES) {
    const piece = bytes.subarray(done, Math.min(done + FRAME_BYTES, bytes.length));
    const candidate = copy.pieces.get(offset + done);
    const found = candidate && (await tools.earlierPages.findBytes(piece, candidate));
    if (found) extents.push(found);
    else await tools.frames.addBytes({ path, offset: offset + done, bytes: piece }, extents);
  }
}

function isSameContent(earlier: FileEntry, bytes: Uint8Array): boolean {
  if (earlier.sizeBytes !== bytes.length) return false;
  return new Blake3().update(bytes).digest().equals(earlier.hash);
}

function piecesOf(earlier: FileEntry | null): ReadonlyMap<number, ByteExtent> {
  const pieces = new Map<number, ByteExtent>();
  let offset = 0;
  for (const extent of earlier?.extents ?? []) {
    if (earlier !== null && earlier.sizeBytes > FRAME_BYTES) pieces.set(offset, extent);
    offset += extent.bytes;
  }
  return pieces;
}
