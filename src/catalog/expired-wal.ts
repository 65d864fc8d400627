/**
 * WAL that retention has given up. It is noted before the first object goes, so that no window promises what is about to
 * vanish, and afterwards it tells a planned gap from a loss. Segments in a noted range count as gone.
 */
import { z } from 'zod';
import { formatLsn, parseLsn } from '../postgres/lsn.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { serverKeys, type IncarnationName } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { mergeRanges, subtractRanges } from './lsn-ranges.ts';
import { readNote, writeNote, type NoteForm } from './mutable-note.ts';

const NOTE_BYTES_MAX: number = 4 * 1024 * 1024;
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);

const noteSchema = z.strictObject({
  version: z.literal(1),
  ranges: z.array(
    z.strictObject({
      incarnation: z.string(),
      timeline: z.number().int().min(1),
      fromLsn: lsn,
      toLsn: lsn,
    }),
  ),
});

type Note = z.infer<typeof noteSchema>;

export type ExpiredWal = {
  readonly server: string;
  readonly incarnation: IncarnationName;
};

/** Ranges of one incarnation, sorted by timeline and LSN, disjoint on each timeline. None when the note is unreadable. */
export async function readExpiredWal(
  store: ObjectStore,
  { server, incarnation }: ExpiredWal,
): Promise<LsnRange[]> {
  const note = await readExpiredNote(store, server);
  return rangesIn(note, incarnation);
}

/** Adds ranges to those noted before. */
export async function recordExpiredWal(
  store: ObjectStore,
  { server, incarnation }: ExpiredWal,
  ranges: readonly LsnRange[],
): Promise<void> {
  const note = await readExpiredNote(store, server);
  const all = [...rangesIn(note, incarnation), ...ranges];
  await writeRanges(store, { server, incarnation, note }, all);
}

/**
 * Takes back what was noted and is stored all the same: an expire that was stopped between its note and its deletions
 * leaves it so, and the next one may decide otherwise.
 */
export async function withdrawExpiredWal(
  store: ObjectStore,
  { server, incarnation }: ExpiredWal,
  stored: readonly LsnRange[],
): Promise<void> {
  const note = await readExpiredNote(store, server);
  const own = rangesIn(note, incarnation);
  const left = own.flatMap((range) => {
    const there = stored.filter(({ timeline }) => timeline === range.timeline);
    return subtractRanges([range], there);
  });
  const isSame =
    left.length === own.length && left.every(({ start }, at) => start === own[at]?.start);
  if (isSame && left.every(({ end }, at) => end === own[at]?.end)) return;
  await writeRanges(store, { server, incarnation, note }, left);
}

type NotedWal = ExpiredWal & { readonly note: Note };

async function writeRanges(
  store: ObjectStore,
  { server, incarnation, note }: NotedWal,
  ranges: readonly LsnRange[],
): Promise<void> {
  const others = note.ranges.filter((range) => range.incarnation !== incarnation);
  const own = byTimeline(ranges).map(({ timeline, start, end }) => {
    const [fromLsn, toLsn] = [formatLsn(start), formatLsn(end)];
    return { incarnation, timeline, fromLsn, toLsn };
  });
  await writeNote(store, noteForm(server), { version: 1, ranges: [...others, ...own] });
}

async function readExpiredNote(store: ObjectStore, server: string): Promise<Note> {
  const note = await readNote(store, noteForm(server));
  return typeof note === 'string' ? { version: 1, ranges: [] } : note;
}

function rangesIn(note: Note, incarnation: IncarnationName): LsnRange[] {
  return byTimeline(
    note.ranges
      .filter((range) => range.incarnation === incarnation)
      .map(({ timeline, fromLsn, toLsn }) => ({
        timeline: toTimelineId(timeline),
        start: parseLsn(fromLsn),
        end: parseLsn(toLsn),
      })),
  );
}

function byTimeline(ranges: readonly LsnRange[]): LsnRange[] {
  const groups = Map.groupBy(ranges, ({ timeline }) => timeline);
  return [...groups]
    .toSorted(([first], [second]) => first - second)
    .flatMap(([, own]) => mergeRanges(own));
}

function noteForm(server: string): NoteForm<Note> {
  return { key: serverKeys.walExpired(server), schema: noteSchema, bytesMax: NOTE_BYTES_MAX };
}
