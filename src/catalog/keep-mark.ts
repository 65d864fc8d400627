/** The marks by which a person keeps a backup from retention: for ever, or until a time. */
import { z } from 'zod';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readNote, writeNote, type NoteForm } from './mutable-note.ts';

export type KeepMark = {
  /** Null: for ever. */
  readonly until: Date | null;
};

const MARK_BYTES_MAX = 4096;

const markSchema = z.strictObject({ version: z.literal(1), until: z.iso.datetime().nullable() });

type Mark = z.infer<typeof markSchema>;

export type MarkPlace = { readonly server: string; readonly id: BackupId };

/** Null without a mark. One that cannot be read keeps for ever: somebody wanted something. */
export async function readKeepMark(store: ObjectStore, place: MarkPlace): Promise<KeepMark | null> {
  const mark = await readNote(store, markForm(place));
  if (mark === 'missing') return null;
  if (mark === 'unreadable' || mark.until === null) return { until: null };
  return { until: new Date(mark.until) };
}

export async function readKeepMarks(
  store: ObjectStore,
  server: string,
  ids: readonly BackupId[],
): Promise<Map<BackupId, KeepMark>> {
  const marks = await Promise.all(ids.map(async (id) => readKeepMark(store, { server, id })));
  return new Map(
    ids.flatMap((id, index): [BackupId, KeepMark][] => {
      const mark = marks[index] ?? null;
      return mark === null ? [] : [[id, mark]];
    }),
  );
}

export async function writeKeepMark(
  store: ObjectStore,
  place: MarkPlace,
  { until }: KeepMark,
): Promise<void> {
  await writeNote(store, markForm(place), { version: 1, until: until?.toISOString() ?? null });
}

export async function removeKeepMark(store: ObjectStore, { server, id }: MarkPlace): Promise<void> {
  await store.delete(backupKeys.keep(server, id));
}

/** Whether a mark still holds. */
export function isKept(mark: KeepMark | undefined | null, now: Date): boolean {
  return mark !== undefined && mark !== null && (mark.until === null || mark.until > now);
}

function markForm({ server, id }: MarkPlace): NoteForm<Mark> {
  return { key: backupKeys.keep(server, id), schema: markSchema, bytesMax: MARK_BYTES_MAX };
}
