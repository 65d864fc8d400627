import type { PageExtent } from '../repository/map-chunk.ts';

/** Blocks [first, first + count) of one file. */
export type BlockRun = { readonly first: number; readonly count: number };

/** The part of sorted extents that lies in [begin, end); the very same list where that is all of it. */
export function clipExtents(
  extents: readonly PageExtent[],
  begin: number,
  end: number,
): readonly PageExtent[] {
  if (isWithin(extents, begin, end)) return extents;
  const clipped: PageExtent[] = [];
  for (let at = firstEndingBehind(extents, begin); at < extents.length; at += 1) {
    const extent = extents[at];
    if (extent === undefined || extent.firstBlock >= end) break;
    clipped.push(cutExtent(extent, begin, end));
  }
  return clipped;
}

/** What is left of sorted extents without the blocks of sorted runs; the very same list where there are none. */
export function subtractRuns(
  extents: readonly PageExtent[],
  runs: readonly BlockRun[],
): readonly PageExtent[] {
  if (runs.length === 0) return extents;
  const kept: PageExtent[] = [];
  let run = 0;
  for (const extent of extents) {
    const end = extent.firstBlock + extent.pages;
    let from = extent.firstBlock;
    while (run < runs.length && endOf(runs[run]) <= from) run += 1;
    for (let at = run; at < runs.length && firstOf(runs[at]) < end; at += 1) {
      if (firstOf(runs[at]) > from) kept.push(cutExtent(extent, from, firstOf(runs[at])));
      from = Math.max(from, endOf(runs[at]));
    }
    if (from < end) kept.push(cutExtent(extent, from, end));
  }
  return kept;
}

/** Two lists of sorted extents that share no block, as one. */
export function mergeExtents(
  first: readonly PageExtent[],
  second: readonly PageExtent[],
): readonly PageExtent[] {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const merged: PageExtent[] = [];
  let other = 0;
  for (const extent of first) {
    for (let next = second[other]; next !== undefined && next.firstBlock < extent.firstBlock;) {
      merged.push(next);
      other += 1;
      next = second[other];
    }
    merged.push(extent);
  }
  merged.push(...second.slice(other));
  return merged;
}

/** Ascending block numbers as runs; `shift` is added to each. */
export function runsOf(blocks: Uint32Array, shift: number): BlockRun[] {
  const runs: { first: number; count: number }[] = [];
  let last: { first: number; count: number } | undefined;
  for (const block of blocks) {
    const at = block + shift;
    if (last !== undefined && at === last.first + last.count) last.count += 1;
    else {
      last = { first: at, count: 1 };
      runs.push(last);
    }
  }
  return runs;
}

/** Adds a page that lies in a frame to extents that grow, joining it to the last one where it follows in both. */
export function appendExtent(extents: PageExtent[], next: PageExtent): void {
  const last = extents.at(-1);
  const follows =
    last !== undefined &&
    last.pack === next.pack &&
    last.frame === next.frame &&
    last.firstBlock + last.pages === next.firstBlock &&
    last.position + last.pages === next.position;
  if (follows) extents[extents.length - 1] = { ...last, pages: last.pages + next.pages };
  else extents.push(next);
}

/** Index of the first extent that ends behind `block`. */
export function firstEndingBehind(extents: readonly PageExtent[], block: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const extent = extents[middle];
    if (extent !== undefined && extent.firstBlock + extent.pages <= block) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isWithin(extents: readonly PageExtent[], begin: number, end: number): boolean {
  const [first] = extents;
  const last = extents.at(-1);
  if (first === undefined || last === undefined) return true;
  return first.firstBlock >= begin && last.firstBlock + last.pages <= end;
}

function cutExtent(extent: PageExtent, begin: number, end: number): PageExtent {
  const from = Math.max(extent.firstBlock, begin);
  const to = Math.min(extent.firstBlock + extent.pages, end);
  if (from === extent.firstBlock && to - from === extent.pages) return extent;
  return {
    ...extent,
    firstBlock: from,
    pages: to - from,
    position: extent.position + from - extent.firstBlock,
  };
}

function firstOf(run: BlockRun | undefined): number {
  return run?.first ?? Infinity;
}

function endOf(run: BlockRun | undefined): number {
  return run === undefined ? Infinity : run.first + run.count;
}
