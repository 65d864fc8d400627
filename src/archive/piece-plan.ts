/** Which piece of an open segment to store next, and which stored ones it replaces. */

export type StoredPiece = {
  readonly offset: number;
  readonly length: number;
};

export type PiecePlan = {
  readonly offset: number;
  readonly length: number;
  /** Pieces that the new one contains, to be removed when it is durable. */
  readonly replaces: readonly StoredPiece[];
};

/**
 * Pieces merge as the digits of a binary counter carry: a new piece takes in the last one as long as that is not longer
 * than itself. A segment that stays open for days is so held by a handful of pieces, and each byte is written again only
 * a few times. `stored` is contiguous from the segment's start; null when there is nothing new up to `end`.
 */
export function planPiece(stored: readonly StoredPiece[], end: number): PiecePlan | null {
  const last = stored.at(-1);
  let offset = last === undefined ? 0 : last.offset + last.length;
  if (end <= offset) return null;
  const replaces: StoredPiece[] = [];
  for (const piece of stored.toReversed()) {
    if (piece.length > end - offset) break;
    offset = piece.offset;
    replaces.push(piece);
  }
  return { offset, length: end - offset, replaces };
}
