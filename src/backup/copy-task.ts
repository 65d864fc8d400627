/** Copies the items of one task: read, check, frame. Runs in a worker thread; all buffers are reused. */
import { Blake3 } from '../lib/hashing.ts';
import type { PageScanner } from '../postgres/cluster/page-scanner.ts';
import { classifyFile } from '../postgres/cluster/relation-file.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { ByteExtent, MapEntry, PageExtent } from '../repository/map-chunk.ts';
import { RANGE_BYTES_MAX, type FileRange, type RangeReader } from './cluster-source.ts';
import type { BlockDamage, CopyItem, ItemResult } from './copy-messages.ts';
import type { FrameBuilder } from './frame-builder.ts';
import type { Throttle } from './throttle.ts';

/** Blocks in one segment file of a relation, 1 GB (`--with-segsize` builds differ and are refused). */
const SEGMENT_BLOCKS = 131_072;
/** A page that fails its check may have been read while the server wrote it: it is read again this often. */
const REREAD_ATTEMPTS = 5;

export type CopyTools = {
  readonly reader: RangeReader;
  readonly scanner: PageScanner;
  readonly frames: FrameBuilder;
  readonly throttle: Throttle;
  readonly verifyChecksums: boolean;
  readonly startLsn: bigint;
  /** False for pushed content, which can't be asked for twice. */
  readonly canReread: boolean;
  readonly onProgress: (readBytes: number) => void;
};

export type TaskResult = {
  readonly results: readonly ItemResult[];
  readonly damage: readonly BlockDamage[];
};

type ItemState = {
  readonly item: CopyItem;
  readonly pageExtents: PageExtent[];
  readonly byteExtents: ByteExtent[];
  readonly hasher: Blake3 | null;
  isGone: boolean;
  readBytes: number;
};

type PlannedRange = FileRange & { readonly state: ItemState };

/** A stretch with pages that failed their check, kept aside until its pages can be read again. */
type Suspect = { readonly range: PlannedRange; readonly bytes: Uint8Array };

export async function copyTask(items: readonly CopyItem[], tools: CopyTools): Promise<TaskResult> {
  const states = items.map((item) => newState(item));
  const ranges = states.flatMap((state) => rangesOf(state));
  const suspects: Suspect[] = [];
  await tools.reader.readRanges(ranges, {
    bufferFor: (index) => tools.scanner.pages.subarray(0, ranges[index]?.length ?? 0),
    received: async (index, count) => {
      const range = ranges[index];
      if (range === undefined) return;
      const suspect = await takeRange(range, count, tools);
      if (suspect !== null) suspects.push(suspect);
      tools.onProgress(count ?? 0);
      await tools.throttle.spend(count ?? 0);
    },
  });
  const damage: BlockDamage[] = [];
  for (const suspect of suspects) damage.push(...(await settle(suspect, tools)));
  await tools.frames.flush();
  return { results: states.map((state) => resultOf(state)), damage };
}

function newState(item: CopyItem): ItemState {
  return {
    item,
    pageExtents: [],
    byteExtents: [],
    hasher: item.kind === 'file' ? new Blake3() : null,
    isGone: false,
    readBytes: 0,
  };
}

function rangesOf(state: ItemState): PlannedRange[] {
  const { path, offset, length } = state.item;
  const ranges: PlannedRange[] = [];
  for (let done = 0; done < length; done += RANGE_BYTES_MAX) {
    const size = Math.min(RANGE_BYTES_MAX, length - done);
    ranges.push({ path, offset: offset + done, length: size, state });
  }
  return ranges;
}

async function takeRange(
  range: PlannedRange,
  count: number | null,
  tools: CopyTools,
): Promise<Suspect | null> {
  const { state } = range;
  if (count === null) {
    state.isGone = true;
    return null;
  }
  if (state.isGone || count === 0) return null;
  const bytes = tools.scanner.pages.subarray(0, count);
  if (state.hasher !== null) {
    state.hasher.update(bytes);
    state.readBytes += count;
    await tools.frames.addBytes(
      { path: range.path, offset: range.offset, bytes },
      state.byteExtents,
    );
    return null;
  }
  return takePages(range, Math.floor(count / PAGE_BYTES), tools);
}

async function takePages(
  range: PlannedRange,
  pageCount: number,
  tools: CopyTools,
): Promise<Suspect | null> {
  if (pageCount === 0) return null;
  range.state.readBytes += pageCount * PAGE_BYTES;
  const bad = scan(range, pageCount, tools);
  if (bad.length > 0) {
    return { range, bytes: tools.scanner.pages.slice(0, pageCount * PAGE_BYTES) };
  }
  await addScanned(range, pageCount, tools);
  return null;
}

/** Reads the pages that failed once more; what still fails is damage on the server's disk. */
async function settle(suspect: Suspect, tools: CopyTools): Promise<BlockDamage[]> {
  const { range, bytes } = suspect;
  const pageCount = bytes.length / PAGE_BYTES;
  tools.scanner.pages.set(bytes);
  let bad = scan(range, pageCount, tools);
  const attempts = tools.canReread ? REREAD_ATTEMPTS : 0;
  for (let attempt = 0; attempt < attempts && bad.length > 0; attempt += 1) {
    for (const page of bad) await reread(range, page, { bytes, tools });
    tools.scanner.pages.set(bytes);
    bad = scan(range, pageCount, tools);
  }
  await addScanned(range, pageCount, tools);
  const firstBlock = range.offset / PAGE_BYTES;
  return bad.map((page) => ({ path: range.path, block: firstBlock + page }));
}

async function reread(
  range: PlannedRange,
  page: number,
  into: { readonly bytes: Uint8Array; readonly tools: CopyTools },
): Promise<void> {
  const fresh = new Uint8Array(PAGE_BYTES);
  const wanted = { path: range.path, offset: range.offset + page * PAGE_BYTES, length: PAGE_BYTES };
  let isWhole = false;
  await into.tools.reader.readRanges([wanted], {
    bufferFor: () => fresh,
    received: (_index, count) => {
      isWhole = count === PAGE_BYTES;
    },
  });
  // A page that is gone was truncated away meanwhile: WAL replay does the same, zeros are as good.
  into.bytes.set(isWhole ? fresh : new Uint8Array(PAGE_BYTES), page * PAGE_BYTES);
}

function scan(range: PlannedRange, pageCount: number, tools: CopyTools): readonly number[] {
  const file = classifyFile(range.path);
  const segment = file.kind === 'relation' ? file.segment : 0;
  return tools.scanner.scan({
    pageCount,
    firstBlock: segment * SEGMENT_BLOCKS + range.offset / PAGE_BYTES,
    verifyChecksums: tools.verifyChecksums,
    startLsn: tools.startLsn,
  }).badPages;
}

async function addScanned(range: PlannedRange, pageCount: number, tools: CopyTools): Promise<void> {
  await tools.frames.addPages(
    {
      path: range.path,
      firstBlock: range.offset / PAGE_BYTES,
      pages: tools.scanner.pages.subarray(0, pageCount * PAGE_BYTES),
      hashes: tools.scanner.hashes.subarray(0, pageCount * 8),
    },
    range.state.pageExtents,
  );
}

function resultOf(state: ItemState): ItemResult {
  const { item, hasher, readBytes } = state;
  if (item.kind === 'directory' || item.kind === 'link') return plainResult(item);
  const facts = { path: item.path, mode: item.mode, modifiedMs: item.modifiedMs };
  if (state.isGone) return { path: item.path, entry: null, readBytes };
  if (hasher !== null) {
    const hash = Uint8Array.from(hasher.digest());
    const { byteExtents: extents } = state;
    return {
      path: item.path,
      readBytes,
      entry: { ...facts, kind: 'file', sizeBytes: readBytes, hash, extents },
    };
  }
  const extents = state.pageExtents.toSorted(
    (first, second) => first.firstBlock - second.firstBlock,
  );
  return {
    path: item.path,
    readBytes,
    entry: { ...facts, kind: 'relation', sizeBytes: item.offset + readBytes, extents },
  };
}

function plainResult(item: CopyItem): ItemResult {
  const facts = { path: item.path, mode: item.mode, modifiedMs: item.modifiedMs, sizeBytes: 0 };
  const entry: MapEntry =
    item.kind === 'link'
      ? { ...facts, kind: 'link', target: item.target ?? '' }
      : { ...facts, kind: 'directory' };
  return { path: item.path, entry, readBytes: 0 };
}
