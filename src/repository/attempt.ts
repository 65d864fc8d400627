/** The note that a backup leaves before its first page, so that what it stored is understood if it dies. */
import { z } from 'zod';
import type { ObjectStore } from '../storage/object-store.ts';
import { BACKUP_TYPES, type BackupId } from './backup-id.ts';
import { backupKeys } from './layout.ts';
import { putSealed } from './sealed-object.ts';

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
