/**
 * What could not be read back when it was last checked, by verify or by compaction. Nothing of it is shared with a new
 * backup, moved, or counted on by retention; a later check that reads it without fault clears it.
 */
import { z } from 'zod';
import { serverKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readNote, writeNote, type NoteForm } from './mutable-note.ts';

/** `all` when nothing in the object can be used: it is missing, cut, or its index is damaged. */
export type KnownFaults = 'all' | ReadonlySet<number>;

/** By key of the pack, or of the map chunk (always `all`). */
export type KnownDamage = ReadonlyMap<string, KnownFaults>;

const NOTE_BYTES_MAX: number = 64 * 1024 * 1024;

const noteSchema = z.strictObject({
  version: z.literal(1),
  objects: z.array(
    z.strictObject({
      key: z.string(),
      /** Null: all of it. */
      frames: z.array(z.number().int().nonnegative()).nullable(),
    }),
  ),
});

type Note = z.infer<typeof noteSchema>;

/** Empty when nothing is known. */
export async function readKnownDamage(store: ObjectStore, server: string): Promise<KnownDamage> {
  const note = await readNote(store, noteForm(server));
  if (note === 'missing' || note === 'unreadable') return new Map();
  return new Map(
    note.objects.map(({ key, frames }) => [key, frames === null ? 'all' : new Set(frames)]),
  );
}

export type CheckedObjects = {
  readonly damaged: KnownDamage;
  /** Whether the check read all of an object: what it did not find damaged there is sound. */
  readonly wasReadWhole: (key: string) => boolean;
};

/** Adds what a check found, and clears what it found sound. */
export async function recordKnownDamage(
  store: ObjectStore,
  server: string,
  { damaged, wasReadWhole }: CheckedObjects,
): Promise<void> {
  const before = await readKnownDamage(store, server);
  const after = new Map([...before].filter(([key]) => !wasReadWhole(key)));
  for (const [key, faults] of damaged) after.set(key, union(after.get(key), faults));
  if (before.size === 0 && after.size === 0) return;
  const objects: Note['objects'] = [...after]
    .toSorted(([first], [second]) => (first < second ? -1 : 1))
    .map(([key, faults]) => ({ key, frames: faults === 'all' ? null : [...faults] }));
  await writeNote(store, noteForm(server), { version: 1, objects });
}

function union(before: KnownFaults | undefined, faults: KnownFaults): KnownFaults {
  if (before === undefined) return faults;
  return before === 'all' || faults === 'all' ? 'all' : before.union(faults);
}

function noteForm(server: string): NoteForm<Note> {
  return { key: serverKeys.knownDamage(server), schema: noteSchema, bytesMax: NOTE_BYTES_MAX };
}
