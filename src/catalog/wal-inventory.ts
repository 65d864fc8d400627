/** Which WAL of one incarnation the repository holds, found out from the names and heads of the stored objects. */
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import {
  historyFileName,
  parseTimelineHistory,
  rootHistory,
  type LsnRange,
  type TimelineHistory,
} from '../postgres/timeline-history.ts';
import { formatTimelineId, toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import { walKeys, type IncarnationName } from '../repository/layout.ts';
import { nameOfIncarnation, type Incarnation } from '../repository/repository.ts';
import { readWalObject } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readExpiredWal } from './expired-wal.ts';
import { mergeRanges, missingBetween, subtractRanges } from './lsn-ranges.ts';
import { measureParts, type OpenSegment, type OpenSegmentPart } from './open-segment.ts';
import { parseWalKey, type WalKey } from './wal-key.ts';

export type WalScope = {
  readonly server: string;
  readonly incarnation: Incarnation;
};

/** Segments [first, last], all stored whole. */
type SegmentRun = { readonly first: bigint; readonly last: bigint };

/** An object about a run of segments. */
export type StoredIndex = SegmentRun & { readonly key: string };

export type TimelineInventory = {
  readonly timeline: TimelineId;
  /** Ascending, never touching each other. */
  readonly runs: readonly SegmentRun[];
  /** Segments of which only parts are stored, ascending. */
  readonly open: readonly OpenSegment[];
  /** Stored WAL, ascending, disjoint. */
  readonly ranges: readonly LsnRange[];
  /** Sealed indexes: first and last segment number, and key. */
  readonly indexes: readonly StoredIndex[];
  /** Sealed changes, which may outlive their segments; ascending by first segment. */
  readonly changes: readonly StoredIndex[];
  /** Ranges that the server no longer had when they were asked for. */
  readonly recordedGaps: readonly LsnRange[];
  /** Ranges that retention has given up; whether or not a segment of them still lies there, it counts as gone. */
  readonly expired: readonly LsnRange[];
  /** How many segments are stored whole. */
  readonly segments: number;
  /** All objects of the timeline's folder. */
  readonly storedBytes: number;
};

export type WalInventory = WalScope & {
  readonly name: IncarnationName;
  readonly segmentBytes: number;
  /** Ascending. */
  readonly timelines: ReadonlyMap<TimelineId, TimelineInventory>;
  /** The histories of all timelines known, timeline 1 included. */
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>;
  /** History files that are stored but cannot be read: key and reason. */
  readonly damaged: readonly { readonly key: string; readonly reason: string }[];
};

/** @param countsGivenUp whether WAL that retention has given up counts as stored as long as it is there. */
export async function readWalInventory(
  store: ObjectStore,
  scope: WalScope,
  { countsGivenUp = false }: { readonly countsGivenUp?: boolean } = {},
): Promise<WalInventory> {
  const name = nameOfIncarnation(scope.incarnation);
  const segmentBytes = scope.incarnation.walSegmentBytes;
  const prefix = walKeys.incarnation(scope.server, name);
  const found = new Map<TimelineId, Found>();
  const historyIds: TimelineId[] = [];
  for await (const { key, sizeBytes } of store.list(prefix)) {
    const parsed = parseWalKey(key.slice(prefix.length), segmentBytes);
    if (parsed === null) continue;
    if (parsed.kind === 'history') historyIds.push(parsed.timeline);
    else if (parsed.kind !== 'backup-history') note(found, { key, sizeBytes, parsed });
  }
  const base = { ...scope, name, segmentBytes };
  const { histories, damaged } = await readHistories(store, { scope, name, ids: historyIds });
  const expired = countsGivenUp
    ? []
    : await readExpiredWal(store, { server: scope.server, incarnation: name });
  const timelines = new Map<TimelineId, TimelineInventory>();
  for (const timeline of [...found.keys()].toSorted((first, second) => first - second)) {
    const objects = found.get(timeline) ?? emptyFound();
    const begin = histories.get(timeline)?.ancestors.at(-1)?.end ?? toLsn(0n);
    const own = expired.filter((range) => range.timeline === timeline);
    const place = { timeline, begin, segmentBytes, expired: own };
    timelines.set(timeline, await describeTimeline(store, place, objects));
  }
  return { ...base, timelines, histories, damaged };
}

/** The newest timeline that has WAL or a history file; null when there is neither. */
export function newestTimeline(inventory: WalInventory): TimelineId | null {
  const stored = [...inventory.timelines.keys()];
  const known = [...inventory.histories.keys()].filter((timeline) => timeline > 1);
  const all = [...stored, ...known];
  return all.length === 0 ? null : toTimelineId(Math.max(...all));
}

/** @throws WalnutError `target-unreachable` when the timeline's history file is not stored or damaged. */
export function historyOf(inventory: WalInventory, timeline: TimelineId): TimelineHistory {
  const history = inventory.histories.get(timeline);
  if (history !== undefined) return history;
  const file = historyFileName(timeline);
  const key = walKeys.history(inventory.server, inventory.name, file);
  const fault = inventory.damaged.find((entry) => entry.key === key);
  throw new WalnutError(
    'target-unreachable',
    `follow timeline ${timeline} of server ${inventory.server}: its history file ${file} ` +
      (fault === undefined ? 'is not in the repository' : `cannot be read (${fault.reason})`),
    {
      hint:
        `Copy ${file} from pg_wal of a server on that timeline and store it with ` +
        `\`walnut wal push ${inventory.server} PATH\`.`,
    },
  );
}

/** Missing WAL between what is stored, per timeline, in order; recorded gaps included, what retention took is not. */
export function gapsOf(inventory: WalInventory): LsnRange[] {
  return [...inventory.timelines.values()].flatMap((stored) => {
    const known = subtractRanges(stored.recordedGaps, stored.ranges);
    const handedOver = gapBeforeSwitch(inventory, stored);
    const missing = mergeRanges([...missingBetween(stored.ranges), ...known, ...handedOver]);
    return subtractRanges(missing, stored.expired);
  });
}

/** What retention took from between what is stored, per timeline, in order. */
export function plannedGapsOf(inventory: WalInventory): LsnRange[] {
  return [...inventory.timelines.values()].flatMap((stored) => {
    const between = missingBetween(stored.ranges);
    return subtractRanges(between, subtractRanges(between, stored.expired));
  });
}

/** The inventory as it will be once these ranges, too, have been given up. */
export function withoutWal(inventory: WalInventory, ranges: readonly LsnRange[]): WalInventory {
  const timelines = new Map<TimelineId, TimelineInventory>();
  for (const [timeline, stored] of inventory.timelines) {
    const own = ranges.filter((range) => range.timeline === timeline);
    const expired = mergeRanges([...stored.expired, ...own]);
    const place = { ...placeOf(inventory, timeline), expired };
    const runs = stored.runs.flatMap((run) => runsOf(numbersIn(run).filter(isLeft(place))));
    const open = stored.open.filter(({ number }) => isLeft(place)(number));
    timelines.set(timeline, {
      ...stored,
      runs,
      open,
      expired,
      ranges: rangesOf(place, runs, open),
    });
  }
  return { ...inventory, timelines };
}

function placeOf({ histories, segmentBytes }: WalInventory, timeline: TimelineId): TimelinePlace {
  const begin = histories.get(timeline)?.ancestors.at(-1)?.end ?? toLsn(0n);
  return { timeline, begin, segmentBytes, expired: [] };
}

function numbersIn({ first, last }: SegmentRun): bigint[] {
  return Array.from({ length: Number(last - first) + 1 }, (_, index) => first + BigInt(index));
}

/** Whether retention has left a segment. */
function isLeft({ segmentBytes, expired }: TimelinePlace): (number: bigint) => boolean {
  return (number) => {
    const start = segmentStart(number, segmentBytes);
    return !expired.some((range) => range.start <= start && start < range.end);
  };
}

/** Whether the timeline's segment is stored whole. */
export function holdsSegment(stored: TimelineInventory, number: bigint): boolean {
  return stored.runs.some(({ first, last }) => first <= number && number <= last);
}

/** The newest segment of which anything is stored; null when nothing is. */
export function lastStoredSegment(stored: TimelineInventory): bigint | null {
  const whole = stored.runs.at(-1)?.last ?? -1n;
  const open = stored.open.at(-1)?.number ?? -1n;
  const last = whole > open ? whole : open;
  return last < 0n ? null : last;
}

/** WAL of a timeline may end early although its child goes on: then the way over the switch point is broken. */
function gapBeforeSwitch(inventory: WalInventory, stored: TimelineInventory): LsnRange[] {
  const end = stored.ranges.at(-1)?.end;
  if (end === undefined) return [];
  const gaps: LsnRange[] = [];
  for (const child of inventory.timelines.keys()) {
    const ancestors = inventory.histories.get(child)?.ancestors ?? [];
    const entry = ancestors.at(-1);
    if (entry === undefined || entry.timeline !== stored.timeline) continue;
    // The child's first segment begins with a copy of the parent's up to the switch point.
    const { segmentBytes } = inventory;
    const copied = segmentStart(segmentNumberAt(entry.end, segmentBytes), segmentBytes);
    if (end < copied) gaps.push({ timeline: stored.timeline, start: end, end: copied });
  }
  return gaps;
}

type FoundObject = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly parsed: Exclude<WalKey, { readonly kind: 'history' | 'backup-history' }>;
};

type Found = {
  readonly objects: FoundObject[];
  storedBytes: number;
};

function emptyFound(): Found {
  return { objects: [], storedBytes: 0 };
}

function note(found: Map<TimelineId, Found>, object: FoundObject): void {
  const { timeline } = object.parsed;
  const entry = found.get(timeline) ?? emptyFound();
  entry.objects.push(object);
  entry.storedBytes += object.sizeBytes;
  found.set(timeline, entry);
}

type TimelinePlace = {
  readonly timeline: TimelineId;
  /** Where the timeline branched off; 0 for the first. */
  readonly begin: Lsn;
  readonly segmentBytes: number;
  /** What retention has given up. */
  readonly expired: readonly LsnRange[];
};

async function describeTimeline(
  store: ObjectStore,
  place: TimelinePlace,
  found: Found,
): Promise<TimelineInventory> {
  const { timeline, segmentBytes, expired } = place;
  const isThere = isLeft(place);
  const numbers: bigint[] = [];
  const parts = new Map<bigint, FoundObject[]>();
  const indexes: StoredIndex[] = [];
  const changes: StoredIndex[] = [];
  const recordedGaps: LsnRange[] = [];
  for (const object of found.objects) {
    const { parsed, key } = object;
    if (parsed.kind === 'segment') {
      if (isThere(parsed.number)) numbers.push(parsed.number);
    } else if (parsed.kind === 'index') indexes.push({ ...parsed, key });
    else if (parsed.kind === 'changes') changes.push({ ...parsed, key });
    else if (parsed.kind === 'gap') recordedGaps.push(parsed);
    else if (isThere(parsed.number))
      parts.set(parsed.number, [...(parts.get(parsed.number) ?? []), object]);
  }
  const runs = runsOf(numbers);
  const whole = new Set(numbers);
  const open: OpenSegment[] = [];
  for (const [number, objects] of parts) {
    if (whole.has(number)) continue;
    open.push(await measureParts(store, { number, segmentBytes, parts: partsOf(objects) }));
  }
  open.sort((first, second) => (first.number < second.number ? -1 : 1));
  return {
    timeline,
    runs,
    open,
    ranges: rangesOf(place, runs, open),
    indexes: indexes.toSorted((first, second) => (first.first < second.first ? -1 : 1)),
    changes: changes.toSorted((first, second) => (first.first < second.first ? -1 : 1)),
    recordedGaps,
    expired,
    segments: numbers.length,
    storedBytes: found.storedBytes,
  };
}

function partsOf(objects: readonly FoundObject[]): OpenSegmentPart[] {
  const parts: OpenSegmentPart[] = [];
  for (const { key, parsed } of objects) {
    if (parsed.kind === 'partial') parts.push({ key, kind: 'wal-partial', offset: 0, length: 0 });
    if (parsed.kind !== 'piece') continue;
    parts.push({ key, kind: 'wal-piece', offset: parsed.offset, length: parsed.length });
  }
  return parts;
}

function runsOf(numbers: bigint[]): SegmentRun[] {
  const runs: { first: bigint; last: bigint }[] = [];
  for (const number of numbers.toSorted((first, second) => (first < second ? -1 : 1))) {
    const run = runs.at(-1);
    if (run !== undefined && run.last + 1n === number) run.last = number;
    else runs.push({ first: number, last: number });
  }
  return runs;
}

function rangesOf(
  { timeline, begin, segmentBytes }: TimelinePlace,
  runs: readonly SegmentRun[],
  open: readonly OpenSegment[],
): LsnRange[] {
  const stored = [
    ...runs.map(({ first, last }) => ({
      start: segmentStart(first, segmentBytes),
      end: segmentStart(last + 1n, segmentBytes),
    })),
    ...open.map(({ number, end }) => ({ start: segmentStart(number, segmentBytes), end })),
  ];
  // What lies before the branch point is a copy of the parent's WAL.
  const own = stored.map(({ start, end }) => ({
    timeline,
    start: start < begin ? begin : start,
    end,
  }));
  return mergeRanges(own.filter(({ start, end }) => start < end));
}

type HistoryRequest = {
  readonly scope: WalScope;
  readonly name: IncarnationName;
  readonly ids: readonly TimelineId[];
};

async function readHistories(
  store: ObjectStore,
  { scope, name, ids }: HistoryRequest,
): Promise<Pick<WalInventory, 'histories' | 'damaged'>> {
  const first = toTimelineId(1);
  const histories = new Map<TimelineId, TimelineHistory>([[first, rootHistory(first)]]);
  const damaged: { key: string; reason: string }[] = [];
  for (const timeline of ids) {
    const key = walKeys.history(scope.server, name, `${formatTimelineId(timeline)}.history`);
    try {
      const content = await readWalObject(store, key, 'timeline-history');
      histories.set(timeline, parseTimelineHistory(timeline, content));
    } catch (error) {
      if (!(error instanceof WalnutError) || error.code !== 'object-damaged') throw error;
      damaged.push({ key, reason: messageOf(error) });
    }
  }
  return { histories, damaged };
}
