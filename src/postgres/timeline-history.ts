import { WalnutError } from '../lib/walnut-error.ts';
import { formatLsn, parseLsn, toLsn, type Lsn } from './lsn.ts';
import { formatTimelineId, toTimelineId, type TimelineId } from './timeline-id.ts';

/** A timeline that was left at `end` for the next one. */
type TimelineHistoryEntry = {
  readonly timeline: TimelineId;
  /** Where the next timeline branched off: the first byte that no longer belongs to this timeline. */
  readonly end: Lsn;
  readonly reason: string;
};

/** The line of timelines that leads to `timeline`: its ancestors, oldest first. */
export type TimelineHistory = {
  readonly timeline: TimelineId;
  readonly ancestors: readonly TimelineHistoryEntry[];
};

export type LsnRange = {
  readonly timeline: TimelineId;
  readonly start: Lsn;
  /** The first byte after the range. */
  readonly end: Lsn;
};

const LINE = /^\s*(\d{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:\s+(.*))?$/;
const HISTORY_NAME = /^([0-9A-F]{8})\.history$/;
/** A cluster promoted a million times would have a smaller file than this. */
const HISTORY_BYTES_MAX = 64 * 1024 * 1024;

/** The history of a timeline that has no history file: 1, or one whose ancestors are not wanted. */
export function rootHistory(timeline: TimelineId = toTimelineId(1)): TimelineHistory {
  return { timeline, ancestors: [] };
}

/**
 * Reads a timeline history file. Blank lines and comments are skipped, as `readTimeLineHistory` does.
 * Source: src/backend/access/transam/timeline.c.
 * @throws WalnutError `object-damaged` where PostgreSQL would refuse the file too, or where switch points go backwards.
 */
export function parseTimelineHistory(
  timeline: TimelineId,
  content: Uint8Array | string,
): TimelineHistory {
  const name = historyFileName(timeline);
  if (content.length > HISTORY_BYTES_MAX)
    throw damaged(name, `${content.length} bytes is too long`);
  const text = typeof content === 'string' ? content : Buffer.from(content).toString('utf8');
  const ancestors: TimelineHistoryEntry[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const entry = parseLine(line);
    const place = `line ${index + 1}`;
    if (entry === null) throw damaged(name, `${place} is no timeline and switch point`);
    const last = ancestors.at(-1);
    if (last !== undefined && entry.timeline <= last.timeline) {
      throw damaged(name, `${place}: timeline ${entry.timeline} follows ${last.timeline}`);
    }
    if (last !== undefined && entry.end < last.end) {
      throw damaged(
        name,
        `${place}: switch point ${formatLsn(entry.end)} lies before the last one`,
      );
    }
    if (entry.timeline >= timeline) {
      throw damaged(name, `${place}: timeline ${entry.timeline} is not older than ${timeline}`);
    }
    ancestors.push(entry);
  }
  return { timeline, ancestors };
}

/** The file's bytes, as a server that was promoted time after time writes them. */
export function formatTimelineHistory(history: TimelineHistory): string {
  // writeTimeLineHistory copies the parent's file and adds a newline before its own line: hence the blank lines.
  return history.ancestors
    .map(({ timeline, end, reason }) => `${timeline}\t${formatLsn(end)}\t${reason}\n`)
    .join('\n');
}

/** The timeline whose WAL holds the byte at `lsn`, seen from the history's own timeline. */
export function timelineAt(history: TimelineHistory, lsn: Lsn): TimelineId {
  return history.ancestors.find(({ end }) => lsn < end)?.timeline ?? history.timeline;
}

/** Where `timeline` was left on this history; null when it is the history's own timeline or not on it. */
export function switchPointOf(history: TimelineHistory, timeline: TimelineId): Lsn | null {
  return history.ancestors.find((entry) => entry.timeline === timeline)?.end ?? null;
}

/** The part of `timeline` that belongs to this history: [start, end), end null for the newest; null when not on it. */
export function extentOf(
  history: TimelineHistory,
  timeline: TimelineId,
): { readonly start: Lsn; readonly end: Lsn | null } | null {
  const { ancestors } = history;
  if (timeline === history.timeline)
    return { start: ancestors.at(-1)?.end ?? toLsn(0n), end: null };
  const index = ancestors.findIndex((entry) => entry.timeline === timeline);
  const found = ancestors[index];
  if (found === undefined) return null;
  return { start: ancestors[index - 1]?.end ?? toLsn(0n), end: found.end };
}

/**
 * True when all of the range lies on this history: its timeline is on it, begins no later than the range and was not
 * left before the range's end.
 */
export function isOnHistory(history: TimelineHistory, range: LsnRange): boolean {
  const extent = extentOf(history, range.timeline);
  if (extent === null || range.start < extent.start || range.end < range.start) return false;
  return extent.end === null || range.end <= extent.end;
}

/** The history's timelines, oldest first, its own last. */
export function timelinesOf(history: TimelineHistory): TimelineId[] {
  return [...history.ancestors.map(({ timeline }) => timeline), history.timeline];
}

export function historyFileName(timeline: TimelineId): string {
  return `${formatTimelineId(timeline)}.history`;
}

/** The timeline a history file's name stands for, or null when the name is none. */
export function parseHistoryFileName(name: string): TimelineId | null {
  const digits = HISTORY_NAME.exec(name)?.[1];
  if (digits === undefined || digits === '00000000') return null;
  return toTimelineId(Number.parseInt(digits, 16));
}

function parseLine(line: string): TimelineHistoryEntry | null {
  const [, number, lsn, reason] = LINE.exec(line) ?? [];
  if (number === undefined || lsn === undefined) return null;
  const timeline = Number(number);
  if (timeline < 1 || timeline > 0xffff_ffff) return null;
  return { timeline: toTimelineId(timeline), end: parseLsn(lsn), reason: reason ?? '' };
}

function damaged(name: string, reason: string): WalnutError {
  return new WalnutError('object-damaged', `read timeline history ${name}: ${reason}`, {
    hint: 'Fetch the file again from the server, or from another copy of the archive.',
  });
}
