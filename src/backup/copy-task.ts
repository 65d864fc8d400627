/** Copies the items of one task: read, check, frame. Runs in a worker thread; all buffers are reused. */
import type { PageScanner } from '../postgres/cluster/page-scanner.ts';
import { classifyFile, RELATION_SEGMENT_BLOCKS } from '../postgres/cluster/relation-file.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { MapEntry, PageExtent } from '../repository/map-chunk.ts';
import { RANGE_BYTES_MAX, type FileRange, type RangeReader } from './cluster-source.ts';
import { copyBytes, newByteCopy, type ByteCopy } from './copy-bytes.ts';
import type { BlockDamage, CopyItem, ItemResult } from './copy-messages.ts';
import { plainEntry } from './decide-file.ts';
import type { EarlierPages, Sharing } from './earlier-pages.ts';
import type { FrameBuilder } from './frame-builder.ts';
import type { Throttle } from './throttle.ts';

/** A page that fails its check may have been read while the server wrote it: it is read again this often. */
const REREAD_ATTEMPTS = 5;
const HASH_BYTES = 8;

export type CopyTools = {
  readonly reader: RangeReader;
  readonly scanner: PageScanner;
  readonly frames: FrameBuilder;
  readonly earlierPages: EarlierPages;
  readonly sharing: Sharing;
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
  /** Of a file that is no relation. */
  readonly bytes: ByteCopy | null;
  isGone: boolean;
  readBytes: number;
  cutAt: number | null;
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
    bytes: item.kind === 'file' ? newByteCopy(item) : null,
    isGone: false,
    readBytes: 0,
    cutAt: null,
  };
}

function rangesOf(state: ItemState): PlannedRange[] {
  const { path, offset, length, runs } = state.item;
  const ranges: PlannedRange[] = [];
  const add = (from: number, bytes: number): void => {
    for (let done = 0; done < bytes; done += RANGE_BYTES_MAX) {
      const size = Math.min(RANGE_BYTES_MAX, bytes - done);
      ranges.push({ path, offset: from + done, length: size, state });
    }
  };
  if (runs === null) add(offset, length);
  else for (const { first, count } of runs) add(first * PAGE_BYTES, count * PAGE_BYTES);
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
  if (state.isGone) return null;
  if (state.bytes !== null) {
    state.readBytes += count;
    const bytes = tools.scanner.pages.subarray(0, count);
    await copyBytes({ offset: range.offset, bytes }, state.bytes, tools);
    return null;
  }
  const pageCount = Math.floor(count / PAGE_BYTES);
  if (count < range.length) state.cutAt ??= range.offset / PAGE_BYTES + pageCount;
  return takePages(range, pageCount, tools);
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
    firstBlock: segment * RELATION_SEGMENT_BLOCKS + range.offset / PAGE_BYTES,
    verifyChecksums: tools.verifyChecksums,
    startLsn: tools.startLsn,
  }).badPages;
}

async function addScanned(range: PlannedRange, pageCount: number, tools: CopyTools): Promise<void> {
  const { path, state } = range;
  const firstBlock = range.offset / PAGE_BYTES;
  const pages = tools.scanner.pages.subarray(0, pageCount * PAGE_BYTES);
  const hashes = tools.scanner.hashes.subarray(0, pageCount * HASH_BYTES);
  if (state.item.earlier.length === 0) {
    await tools.frames.addPages({ path, firstBlock, pages, hashes }, state.pageExtents);
    return;
  }
  const { earlier } = state.item;
  const { sharing } = tools;
  const stretch = { firstBlock, pageCount, hashes, earlier, sharing };
  const { shared, fresh } = await tools.earlierPages.split(stretch);
  state.pageExtents.push(...shared);
  for (const { from, count } of fresh) {
    const part = {
      path,
      firstBlock: firstBlock + from,
      pages: pages.subarray(from * PAGE_BYTES, (from + count) * PAGE_BYTES),
      hashes: hashes.subarray(from * HASH_BYTES, (from + count) * HASH_BYTES),
    };
    await tools.frames.addPages(part, state.pageExtents);
  }
}

function resultOf(state: ItemState): ItemResult {
  const { item, readBytes, cutAt } = state;
  const { path } = item;
  return { path, entry: state.isGone ? null : entryOf(state), readBytes, cutAt };
}

function entryOf({ item, bytes, pageExtents, readBytes }: ItemState): MapEntry {
  const { path, mode, modifiedMs, identity, sizeBytes } = item;
  if (item.kind === 'directory' || item.kind === 'link') return plainEntry(item);
  const facts = { path, mode, modifiedMs, identity };
  if (bytes !== null) return { ...facts, kind: 'file', sizeBytes: readBytes, ...bytes.result() };
  const extents = pageExtents.toSorted((one, other) => one.firstBlock - other.firstBlock);
  return { ...facts, kind: 'relation', sizeBytes, extents };
}
