/** Copies the items of one task: read, check, frame. Runs in a worker thread; all buffers are reused. */
import { must } from '../lib/assert.ts';
import { andThen, type Wait } from '../lib/wait.ts';
import type { PageScanner } from '../postgres/cluster/page-scanner.ts';
import { classifyFile, RELATION_SEGMENT_BLOCKS } from '../postgres/cluster/relation-file.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { MapEntry, PageExtent } from '../repository/map-chunk.ts';
import { RANGE_BYTES_MAX, type FileRange, type RangeReader } from './cluster-source.ts';
import { copyBytes, newByteCopy, type ByteCopy } from './copy-bytes.ts';
import type { BlockDamage, CopyItem, ItemResult } from './copy-messages.ts';
import { plainEntry } from './decide-file.ts';
import type { EarlierPages, Sharing } from './earlier-pages.ts';
import type { FrameBuilder, PageStretch } from './frame-builder.ts';
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
  /** Of a relation: number of the file's first block in its fork. */
  readonly fileBlock: number;
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

type Run = CopyTools & { readonly suspects: Suspect[] };

export async function copyTask(items: readonly CopyItem[], tools: CopyTools): Promise<TaskResult> {
  const states = items.map((item) => newState(item));
  const ranges = states.flatMap((state) => rangesOf(state));
  const suspects: Suspect[] = [];
  const run = { ...tools, suspects };
  const spend = (bytes: number): Wait => {
    tools.onProgress(bytes);
    return tools.throttle.spend(bytes);
  };
  await tools.reader.readRanges(ranges, {
    bufferFor: (index) => tools.scanner.pages.subarray(0, ranges[index]?.length ?? 0),
    received: (index, count) => {
      const range = must(ranges[index], 'a range that was asked for');
      return andThen(takeRange(range, count, run), () => spend(count ?? 0));
    },
  });
  const damage: BlockDamage[] = [];
  for (const suspect of suspects) damage.push(...(await settle(suspect, tools)));
  await tools.frames.flush();
  return { results: states.map((state) => resultOf(state)), damage };
}

function newState(item: CopyItem): ItemState {
  const file = classifyFile(item.path);
  return {
    item,
    fileBlock: file.kind === 'relation' ? file.segment * RELATION_SEGMENT_BLOCKS : 0,
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

function takeRange(range: PlannedRange, count: number | null, run: Run): Wait {
  const { state } = range;
  if (count === null) {
    state.isGone = true;
    return undefined;
  }
  if (state.isGone) return undefined;
  if (state.bytes !== null) {
    state.readBytes += count;
    const bytes = run.scanner.pages.subarray(0, count);
    return copyBytes({ offset: range.offset, bytes }, state.bytes, run);
  }
  const pageCount = Math.floor(count / PAGE_BYTES);
  if (count < range.length) state.cutAt ??= range.offset / PAGE_BYTES + pageCount;
  return takePages(range, pageCount, run);
}

function takePages(range: PlannedRange, pageCount: number, run: Run): Wait {
  if (pageCount === 0) return undefined;
  range.state.readBytes += pageCount * PAGE_BYTES;
  const bad = scan(range, pageCount, run);
  if (bad.length === 0) return addScanned(range, pageCount, run);
  run.suspects.push({ range, bytes: run.scanner.pages.slice(0, pageCount * PAGE_BYTES) });
  return undefined;
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
  return tools.scanner.scan({
    pageCount,
    firstBlock: range.state.fileBlock + range.offset / PAGE_BYTES,
    verifyChecksums: tools.verifyChecksums,
    startLsn: tools.startLsn,
  }).badPages;
}

function addScanned(range: PlannedRange, pageCount: number, tools: CopyTools): Wait {
  const { path, state } = range;
  const firstBlock = range.offset / PAGE_BYTES;
  const pages = tools.scanner.pages.subarray(0, pageCount * PAGE_BYTES);
  const hashes = tools.scanner.hashes.subarray(0, pageCount * HASH_BYTES);
  const stretch = { path, firstBlock, pages, hashes };
  return state.item.earlier.length === 0
    ? tools.frames.addPages(stretch, state.pageExtents)
    : addUnshared(stretch, state, tools);
}

/** Stores what the repository does not hold already. */
async function addUnshared(
  { path, firstBlock, pages, hashes }: PageStretch,
  state: ItemState,
  tools: CopyTools,
): Promise<void> {
  const { earlier } = state.item;
  const { sharing } = tools;
  const pageCount = pages.length / PAGE_BYTES;
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
