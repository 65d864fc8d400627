/**
 * Which packs and WAL segments a verification reads: the longest unchecked first, up to a share of all bytes, so that a
 * daily 5 % covers everything in 20 days. What was checked when is remembered as runs of neighbouring keys.
 */
import { z } from 'zod';
import { readNote, writeNote, type NoteForm } from '../catalog/mutable-note.ts';
import { serverKeys } from '../repository/layout.ts';
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts';
import { nameOfObject } from './object-kind.ts';

const NOTE_BYTES_MAX: number = 64 * 1024 * 1024;
/** What was never checked counts as checked when it was stored, to the hour: few enough groups for any repository. */
const STORED_GROUP_MS: number = 60 * 60 * 1000;
const SEGMENT = /\/[0-9A-F]{24}$/;

const noteSchema = z.strictObject({
  version: z.literal(1),
  /** First and last key of a run, and when it was checked; ms since 1970. */
  checked: z.array(z.tuple([z.string(), z.string(), z.number().int()])),
});

type Note = z.infer<typeof noteSchema>;

/** Keys [from, to] in byte order, checked at a time. */
type CheckedRun = { readonly from: string; readonly to: string; readonly atMs: number };

export type SampleRequest = {
  /** Null for everything. */
  readonly percent: number | null;
  /** Limits what can be drawn; null for all packs and segments of the server. */
  readonly only: ReadonlySet<string> | null;
  readonly now: Date;
};

export type CheckSample = {
  /** Whether to read a pack's frames, or a WAL segment. */
  readonly takes: (key: string) => boolean;
  /** Remembers that what was taken has been checked. */
  readonly record: () => Promise<void>;
};

export async function planSample(
  store: ObjectStore,
  server: string,
  { percent, only, now }: SampleRequest,
): Promise<CheckSample> {
  const form = noteForm(server);
  const note = await readNote(store, form);
  const before = (typeof note === 'string' ? [] : note.checked).map(runOf);
  const quota = await planQuota(subjectsOf(store, server, before), { percent, only });
  const taken: CheckedRun[] = [];
  const after: CheckedRun[] = [];
  const atMs = now.getTime();
  let wasTaken = false;
  for await (const subject of subjectsOf(store, server, before)) {
    const { key } = subject;
    const isTaken = (only === null || only.has(key)) && quota.takes(subject);
    if (isTaken) extend(taken, { key, atMs, continues: wasTaken });
    const last = after.at(-1);
    const checkedMs = isTaken ? atMs : subject.recordedMs;
    if (checkedMs !== null) {
      const continues = last?.atMs === checkedMs && last.to === subject.before;
      extend(after, { key, atMs: checkedMs, continues });
    }
    wasTaken = isTaken;
  }
  return {
    takes: (key) => find(taken, key) !== null,
    record: async () =>
      writeNote(store, form, {
        version: 1,
        checked: after.map(({ from, to, atMs: at }): [string, string, number] => [from, to, at]),
      }),
  };
}

type Subject = {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was last checked; null when never. */
  readonly recordedMs: number | null;
  /** Subjects of an earlier time are checked first. */
  readonly groupMs: number;
  /** The subject before it. */
  readonly before: string | null;
};

async function* subjectsOf(
  store: ObjectStore,
  server: string,
  runs: readonly CheckedRun[],
): AsyncGenerator<Subject> {
  let before: string | null = null;
  for await (const object of store.list(serverKeys.folder(server))) {
    const { kind } = nameOfObject(server, object.key);
    if (kind !== 'pack' && !(kind === 'wal' && SEGMENT.test(object.key))) continue;
    yield { ...subjectOf(object, find(runs, object.key)), before };
    before = object.key;
  }
}

/** What was stored after its run was checked is another object than the one that was. */
function subjectOf(
  { key, sizeBytes, modifiedAt }: ObjectInfo,
  run: CheckedRun | null,
): Omit<Subject, 'before'> {
  const storedMs = modifiedAt.getTime();
  const recordedMs = run === null || run.atMs < storedMs ? null : run.atMs;
  const groupMs = recordedMs ?? Math.floor(storedMs / STORED_GROUP_MS) * STORED_GROUP_MS;
  return { key, sizeBytes, recordedMs, groupMs };
}

type Quota = { readonly takes: (subject: Subject) => boolean };

/** All groups before a time, and of the group at that time as much as there is room for, in order of the keys. */
async function planQuota(
  subjects: AsyncIterable<Subject>,
  { percent, only }: Pick<SampleRequest, 'percent' | 'only'>,
): Promise<Quota> {
  if (percent === null) return { takes: () => true };
  const groups = new Map<number, number>();
  let total = 0;
  for await (const { key, sizeBytes, groupMs } of subjects) {
    if (only !== null && !only.has(key)) continue;
    groups.set(groupMs, (groups.get(groupMs) ?? 0) + sizeBytes);
    total += sizeBytes;
  }
  let left = (total * percent) / 100;
  let lastMs = -Infinity;
  for (const [groupMs, bytes] of [...groups].toSorted(([one], [other]) => one - other)) {
    if (left <= 0) break;
    lastMs = groupMs;
    if (bytes >= left) break;
    left -= bytes;
  }
  return {
    takes: ({ groupMs, sizeBytes }) => {
      if (groupMs < lastMs) return true;
      if (groupMs > lastMs || left <= 0) return false;
      left -= sizeBytes;
      return true;
    },
  };
}

function extend(
  runs: CheckedRun[],
  { key, atMs, continues }: { key: string; atMs: number; continues: boolean },
): void {
  const last = runs.at(-1);
  if (continues && last !== undefined) runs[runs.length - 1] = { ...last, to: key };
  else runs.push({ from: key, to: key, atMs });
}

/** The run that a key lies in; runs are in order of their keys and disjoint. */
function find(runs: readonly CheckedRun[], key: string): CheckedRun | null {
  let low = 0;
  let high = runs.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const run = runs[middle];
    if (run === undefined) return null;
    if (key < run.from) high = middle - 1;
    else if (key > run.to) low = middle + 1;
    else return run;
  }
  return null;
}

function runOf([from, to, atMs]: Note['checked'][number]): CheckedRun {
  return { from, to, atMs };
}

function noteForm(server: string): NoteForm<Note> {
  return { key: serverKeys.checked(server), schema: noteSchema, bytesMax: NOTE_BYTES_MAX };
}
