/** Timeline history files from the server into the repository: before any WAL of the timeline, and without gaps. */
import { hasCode } from '../lib/walnut-error.ts';
import { sqlStateOf } from '../postgres/connection/error-mapping.ts';
import type { TimelineHistoryFile } from '../postgres/replication/commands.ts';
import {
  historyFileName,
  parseTimelineHistory,
  rootHistory,
  type TimelineHistory,
} from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { readWalObject, storeWalObject } from '../repository/wal-object.ts';
import type { ReceiverProgress } from './receiver-event.ts';
import type { WalDestination } from './store-segment.ts';

const UNDEFINED_FILE = '58P01';

/** Asks the server for the history file of a timeline above 1. */
export type HistoryReader = (timeline: TimelineId) => Promise<TimelineHistoryFile>;

/**
 * Stores the history file of a timeline and those of its ancestors, as far as they are missing: recovery looks for the
 * newest timeline by counting up, and stops at the first number without a file. Answers the timeline's history.
 */
export async function storeHistories(
  read: HistoryReader,
  destination: WalDestination,
  { timeline, onEvent }: { readonly timeline: TimelineId; readonly onEvent: ReceiverProgress },
): Promise<TimelineHistory> {
  if (timeline === 1) return rootHistory(timeline);
  const own = await read(timeline);
  const history = parseTimelineHistory(timeline, own.content);
  const files: { timeline: TimelineId; content: Buffer }[] = [{ timeline, content: own.content }];
  for (const ancestor of history.ancestors.map((entry) => entry.timeline).toReversed()) {
    if (ancestor === 1) continue;
    const child = files.at(-1)?.content ?? own.content;
    files.push({ timeline: ancestor, content: await readAncestor(read, ancestor, child) });
  }
  for (const file of files.toReversed()) {
    const outcome = await storeHistory(destination, file);
    if (outcome === 'stored') onEvent({ kind: 'history-stored', timeline: file.timeline });
  }
  return history;
}

async function storeHistory(
  destination: WalDestination,
  { timeline, content }: { readonly timeline: TimelineId; readonly content: Buffer },
): Promise<'stored' | 'present'> {
  const { store, server, incarnation, level } = destination;
  const key = walKeys.history(server, nameOfIncarnation(incarnation), historyFileName(timeline));
  try {
    return await storeWalObject(store, { key, kind: 'timeline-history', plain: content, level });
  } catch (error) {
    if (!hasCode(error, 'wal-conflict')) throw error;
    // The words of the reason may differ, the way may not.
    const stored = parseTimelineHistory(
      timeline,
      await readWalObject(store, key, 'timeline-history'),
    );
    if (!isSameWay(stored, parseTimelineHistory(timeline, content))) throw error;
    return 'present';
  }
}

async function readAncestor(
  read: HistoryReader,
  ancestor: TimelineId,
  child: Buffer,
): Promise<Buffer> {
  try {
    return (await read(ancestor)).content;
  } catch (error) {
    if (sqlStateOf(error) !== UNDEFINED_FILE) throw error;
    return parentFile(child);
  }
}

/**
 * The parent's file, taken from its child's: writeTimeLineHistory copies it and adds an empty line and its own line.
 * Source: src/backend/access/transam/timeline.c.
 */
export function parentFile(child: Buffer): Buffer {
  const text = child.toString('latin1').replace(/\n$/, '');
  const ownLine = text.lastIndexOf('\n');
  return Buffer.from(text.slice(0, Math.max(ownLine, 0)), 'latin1');
}

function isSameWay(first: TimelineHistory, second: TimelineHistory): boolean {
  return (
    first.ancestors.length === second.ancestors.length &&
    first.ancestors.every(
      ({ timeline, end }, index) =>
        second.ancestors[index]?.timeline === timeline && second.ancestors[index]?.end === end,
    )
  );
}
