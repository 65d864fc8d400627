import { WalnutError } from '../../lib/walnut-error.ts';

/** A run of bytes of a segment. */
export type SegmentPiece = {
  /** Where it begins in the segment. */
  readonly offset: number;
  readonly bytes: Uint8Array;
};

export type AssembledSegment = {
  /** A whole segment, zero behind `length`. */
  readonly bytes: Uint8Array;
  /** How many bytes the pieces gave. */
  readonly length: number;
};

/**
 * Puts the pieces of an open segment together, zero-padded to the segment size, as recovery wants it. Pieces may
 * overlap where they agree.
 * @throws WalnutError `wal-gap` when a piece is missing in between, `wal-conflict` when pieces disagree.
 */
export function assembleSegment(
  pieces: readonly SegmentPiece[],
  { name, segmentBytes }: { readonly name: string; readonly segmentBytes: number },
): AssembledSegment {
  const bytes = new Uint8Array(segmentBytes);
  let length = 0;
  for (const piece of pieces.toSorted((first, second) => first.offset - second.offset)) {
    const end = piece.offset + piece.bytes.length;
    if (piece.offset > length) {
      throw new WalnutError(
        'wal-gap',
        `assemble WAL segment ${name}: bytes ${length} to ${piece.offset} are missing`,
      );
    }
    if (end > segmentBytes) {
      throw new WalnutError('wal-conflict', `assemble WAL segment ${name}: a piece is too long`);
    }
    const overlap = Math.min(end, length) - piece.offset;
    const known = bytes.subarray(piece.offset, piece.offset + overlap);
    if (Buffer.compare(known, piece.bytes.subarray(0, overlap)) !== 0) {
      throw new WalnutError(
        'wal-conflict',
        `assemble WAL segment ${name}: pieces differ in bytes ${piece.offset} to ${piece.offset + overlap}`,
      );
    }
    bytes.set(piece.bytes, piece.offset);
    length = Math.max(length, end);
  }
  return { bytes, length };
}

/** A copy of a segment that keeps its first `length` bytes and is zero behind them, padded to the segment size. */
export function cutSegment(bytes: Uint8Array, length: number, segmentBytes: number): Uint8Array {
  const cut = new Uint8Array(segmentBytes);
  cut.set(bytes.subarray(0, Math.min(length, segmentBytes)));
  return cut;
}
