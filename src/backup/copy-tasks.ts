/** Cuts a listing into tasks of about equal work, after deciding for each file what of it is read. */
import { PAGE_BYTES } from '../repository/frame.ts';
import type { CopyItem, CopyTask } from './copy-messages.ts';
import { decideFile, type CopyRules, type FileDecision } from './decide-file.ts';
import type { EarlierFiles } from './earlier-files.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import type { ListedFile } from './list-files.ts';
import type { Outcome } from './map-assembler.ts';
import { clipExtents, type BlockRun } from './page-extents.ts';

/** What one worker takes at once: large enough that handing out costs nothing, small enough to share work evenly. */
const TASK_BYTES: number = 32 * 1024 * 1024;
/** Of a million small files those few are in memory that wait for their turn, and die young. */
const TASK_ITEMS_MAX = 128;
/** Scattered pages cost more than as many in a row: as much work as the bytes above, or less. */
const TASK_RUNS_MAX = 512;
/** What is not read waits for the task in memory, some 100 bytes for each extent. */
const TASK_EXTENTS_MAX = 32_768;

type ReadDecision = Extract<FileDecision, { kind: 'read' }>;

export type PlannedTask = { readonly task: CopyTask; readonly outcomes: readonly Outcome[] };

export async function* planTasks(
  files: AsyncIterable<ListedFile>,
  earlier: EarlierFiles,
  rules: CopyRules,
): AsyncGenerator<PlannedTask> {
  let number = 0;
  let open = newTask();
  for await (const file of files) {
    const known = earlier.at(file.path);
    const decision = decideFile(file, known instanceof Promise ? await known : known, rules);
    for (const item of itemsOf(file, decision)) {
      add(open, decision, item);
      if (!isFull(open)) continue;
      yield { task: { number, items: open.items }, outcomes: open.outcomes };
      number += 1;
      open = newTask();
    }
  }
  if (open.outcomes.length > 0)
    yield { task: { number, items: open.items }, outcomes: open.outcomes };
}

type OpenTask = {
  readonly items: CopyItem[];
  readonly outcomes: Outcome[];
  bytes: number;
  runs: number;
  extents: number;
};

function newTask(): OpenTask {
  return { items: [], outcomes: [], bytes: 0, runs: 0, extents: 0 };
}

function isFull({ bytes, runs, outcomes, extents }: OpenTask): boolean {
  const isHeavy = bytes >= TASK_BYTES || runs >= TASK_RUNS_MAX || extents >= TASK_EXTENTS_MAX;
  return isHeavy || outcomes.length >= TASK_ITEMS_MAX;
}

function add(open: OpenTask, decision: FileDecision, item: CopyItem | null): void {
  if (decision.kind === 'known' || item === null) {
    if (decision.kind !== 'known') return;
    open.outcomes.push(decision);
    open.extents += extentsOf(decision.entry);
    return;
  }
  open.items.push(item);
  open.outcomes.push({ kind: 'read', base: decision.base });
  open.bytes += readBytesOf(item);
  open.runs += item.runs?.length ?? 0;
  open.extents += decision.base.length;
}

function extentsOf(entry: MapEntry): number {
  return entry.kind === 'relation' || entry.kind === 'file' ? entry.extents.length : 0;
}

function readBytesOf({ runs, length }: CopyItem): number {
  return runs === null ? length : runs.reduce((sum, { count }) => sum + count * PAGE_BYTES, 0);
}

const NOTHING_TO_READ: readonly null[] = [null];

/** Relation files are cut, so that several workers share a large one; any other file needs one hash over all of it. */
function itemsOf(file: ListedFile, decision: FileDecision): Iterable<CopyItem | null> {
  if (decision.kind === 'known') return NOTHING_TO_READ;
  const { runs, earlier } = decision;
  if (runs !== null) return itemsOfRuns(file, decision, runs);
  const isCut = file.kind === 'relation' && file.sizeBytes > TASK_BYTES;
  if (isCut) return slicesOf(file, decision);
  return [itemOf(file, decision, { offset: 0, length: file.sizeBytes, runs, earlier })];
}

type Part = Pick<CopyItem, 'offset' | 'length' | 'runs' | 'earlier'>;

function itemOf(file: ListedFile, { earlierFile }: ReadDecision, part: Part): CopyItem {
  const { path, kind, target, mode, modifiedMs, sizeBytes, identity } = file;
  const { offset, length, runs, earlier } = part;
  const facts = { path, kind, target, mode, modifiedMs, sizeBytes, identity };
  return { ...facts, offset, length, runs, earlier, earlierFile };
}

function* itemsOfRuns(
  file: ListedFile,
  decision: ReadDecision,
  runs: readonly BlockRun[],
): Generator<CopyItem> {
  for (const some of cutRuns(runs)) {
    const earlier = around(decision.earlier, some);
    yield itemOf(file, decision, { offset: 0, length: file.sizeBytes, runs: some, earlier });
  }
}

function* slicesOf(file: ListedFile, decision: ReadDecision): Generator<CopyItem> {
  for (let offset = 0; offset < file.sizeBytes; offset += TASK_BYTES) {
    const length = Math.min(TASK_BYTES, file.sizeBytes - offset);
    const run = { first: offset / PAGE_BYTES, count: length / PAGE_BYTES };
    const earlier = around(decision.earlier, [run]);
    yield itemOf(file, decision, { offset, length, runs: null, earlier });
  }
}

/** Runs in portions of one task each. */
function* cutRuns(runs: readonly BlockRun[]): Generator<BlockRun[]> {
  const pagesMax = TASK_BYTES / PAGE_BYTES;
  let portion: BlockRun[] = [];
  let pages = 0;
  for (const run of runs) {
    for (let done = 0; done < run.count;) {
      const count = Math.min(run.count - done, pagesMax - pages);
      portion.push({ first: run.first + done, count });
      pages += count;
      done += count;
      if (pages < pagesMax && portion.length < TASK_RUNS_MAX) continue;
      yield portion;
      portion = [];
      pages = 0;
    }
  }
  if (portion.length > 0) yield portion;
}

/** Of what may be stored already, what lies where a portion of runs does. */
function around(earlier: CopyItem['earlier'], runs: readonly BlockRun[]): CopyItem['earlier'] {
  const first = runs[0]?.first ?? 0;
  const last = runs.at(-1);
  const end = last === undefined ? 0 : last.first + last.count;
  return earlier
    .map((extents) => clipExtents(extents, first, end))
    .filter(({ length }) => length > 0);
}
