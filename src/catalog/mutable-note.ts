/** The few small mutable JSON objects of a server. No restore needs one, so an unreadable one counts as none. */
import { z } from 'zod';
import { hasCode } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type NoteForm<T> = {
  readonly key: string;
  readonly schema: z.ZodType<T>;
  readonly bytesMax: number;
};

/** `missing` when there is none, `unreadable` when it cannot be understood. */
export async function readNote<T>(
  store: ObjectStore,
  { key, schema, bytesMax }: NoteForm<T>,
): Promise<T | 'missing' | 'unreadable'> {
  try {
    const content = await store.get(key, bytesMax);
    return schema.parse(JSON.parse(content.toString('utf8')));
  } catch (error) {
    if (hasCode(error, 'object-missing')) return 'missing';
    const isUnreadable =
      hasCode(error, 'object-damaged') ||
      error instanceof SyntaxError ||
      error instanceof z.ZodError;
    if (!isUnreadable) throw error;
    return 'unreadable';
  }
}

export async function writeNote<T>(
  store: ObjectStore,
  { key, schema }: NoteForm<T>,
  value: T,
): Promise<void> {
  await store.replace(key, Buffer.from(JSON.stringify(schema.parse(value))));
}
