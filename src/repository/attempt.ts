/** The note that a backup leaves before its first page, so that what it stored is understood if it dies. */
import { z } from 'zod';
import type { ObjectStore } from '../storage/object-store.ts';
import { BACKUP_TYPES, type BackupId } from './backup-id.ts';
import { backupKeys } from './layout.ts';
import { damaged } from './object-header.ts';
import { openObject, putSealed } from './sealed-object.ts';

const attemptSchema = z.strictObject({
  version: z.literal(1),
  type: z.enum(BACKUP_TYPES),
  parent: z.string().nullable(),
  source: z.enum(['local', 'connection', 'stream']),
  systemIdentifier: z.string(),
  timeline: z.number().int(),
  startLsn: z.string(),
  startedAt: z.iso.datetime(),
  owner: z.strictObject({ command: z.string(), host: z.string(), processId: z.number().int() }),
});

const ATTEMPT_BYTES_MAX: number = 1024 * 1024;

export type BackupAttempt = z.infer<typeof attemptSchema>;

export async function storeAttempt(
  store: ObjectStore,
  place: { readonly server: string; readonly id: BackupId },
  attempt: BackupAttempt,
): Promise<void> {
  const plain = Buffer.from(JSON.stringify(attempt), 'utf8');
  await putSealed(store, backupKeys.attempt(place.server, place.id), {
    kind: 'attempt',
    plain,
    level: 1,
  });
}

/** Throws `object-missing` or `object-damaged`. */
export async function readAttempt(
  store: ObjectStore,
  place: { readonly server: string; readonly id: BackupId },
): Promise<BackupAttempt> {
  const key = backupKeys.attempt(place.server, place.id);
  const { plain } = openObject(await store.get(key, ATTEMPT_BYTES_MAX), 'attempt', key);
  try {
    return attemptSchema.parse(JSON.parse(plain.toString('utf8')));
  } catch (error) {
    throw damaged(key, 'its content is no note of an attempt', error);
  }
}
