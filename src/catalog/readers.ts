/**
 * Who reads backups, so that nobody deletes them meanwhile, and what is about to be deleted, so that nobody begins to
 * read it. A reader registers and then looks whether a deletion is announced; a deleter announces and then looks for
 * readers. So at least one of two who come at once sees the other.
 */
import { hostname } from 'node:os';
import { z } from 'zod';
import { sleep } from '../lib/sleep.ts';
import { thisProcess } from '../lib/this-process.ts';
import { uniqueSuffix } from '../lib/unique-suffix.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { isBackupId, type BackupId } from '../repository/backup-id.ts';
import { serverKeys } from '../repository/layout.ts';
import { isProcessAlive } from '../storage/filesystem/temporary-file.ts';
import type { Lease, LeaseOwner, ObjectStore } from '../storage/object-store.ts';
import { readNote, writeNote, type NoteForm } from './mutable-note.ts';

/** A registration that was not renewed for so long counts no more: its process is dead or cut off. */
const REGISTRATION_MS_MAX: number = 10 * 60 * 1000;
/** Several renewals may fail before the registration ends. */
const RENEWAL_INTERVAL_MS: number = 2 * 60 * 1000;
const NOTE_BYTES_MAX: number = 1024 * 1024;

const noteSchema = z.strictObject({
  version: z.literal(1),
  owner: z.strictObject({
    command: z.string(),
    host: z.string(),
    processId: z.number().int(),
    startedAt: z.string(),
  }),
  backups: z.array(z.custom<BackupId>((value) => typeof value === 'string' && isBackupId(value))),
});

type Note = z.infer<typeof noteSchema>;

export type Reader = { readonly owner: LeaseOwner; readonly backups: readonly BackupId[] };

/** Readers that live. `now` by the clock of the store. */
export async function liveReaders(
  store: ObjectStore,
  server: string,
  now: Date,
): Promise<readonly Reader[]> {
  const names = await store.listFolder(serverKeys.readers(server));
  const notes = await Promise.all(
    names.map(async (name) => readLive(store, serverKeys.reader(server, name), now)),
  );
  return notes.filter((note) => note !== null);
}

export type Reading = {
  readonly server: string;
  readonly backups: readonly BackupId[];
  /** For the message of whoever wants to delete: `restore`. */
  readonly command: string;
};

export type Registration = {
  /** Says that only these of the backups are read from now on. */
  readonly narrow: (backups: readonly BackupId[]) => Promise<void>;
};

/** A deletion is announced for as long as it takes to remove manifests: seconds. */
const DELETION_WAIT_MS_MAX: number = 60_000;
const DELETION_LOOK_MS = 250;

/**
 * Runs `work` as a registered reader; what it reads first comes after the registration. Where the note cannot be written (a full disk, a repository mounted read-only) it
 * runs all the same: a restore must not fail for want of a note.
 * @throws WalnutError `locked` when one of the backups is being deleted and that does not end.
 */
export async function withReader<T>(
  store: ObjectStore,
  reading: Reading,
  work: (registration: Registration) => Promise<T>,
): Promise<T> {
  const { server, command } = reading;
  const form = noteForm(serverKeys.reader(server, uniqueSuffix()));
  let note: Note = { version: 1, owner: thisProcess(command), backups: [...reading.backups] };
  const write = async (): Promise<void> => {
    await writeNote(store, form, note).catch((error: unknown) => {
      if (!hasCode(error, 'disk-full', 'permission', 'storage')) throw error;
    });
  };
  await write();
  // A failed renewal is tried again long before the registration ends; reading goes on meanwhile.
  const renewal = setInterval(() => void write().catch(() => undefined), RENEWAL_INTERVAL_MS);
  renewal.unref();
  try {
    await requireNotDeleted(store, reading);
    return await work({
      narrow: async (backups) => {
        note = { ...note, backups: [...backups] };
        await write();
      },
    });
  } finally {
    clearInterval(renewal);
    await store.delete(form.key).catch((error: unknown) => {
      if (!hasCode(error, 'disk-full', 'permission', 'storage')) throw error;
    });
  }
}

export type Announcement = {
  readonly server: string;
  readonly backups: readonly BackupId[];
  readonly command: string;
  /** The server's backup lease, which makes this the only deleter. */
  readonly lease: Lease;
};

/**
 * Announces a deletion and runs it unless one of the backups is being read.
 * @throws WalnutError `locked` naming the reader.
 */
export async function announceDeletion<T>(
  store: ObjectStore,
  announcement: Announcement,
  work: () => Promise<T>,
): Promise<T> {
  const { server, backups, command, lease } = announcement;
  if (!(await lease.isHeld())) throw leaseLost(command, server);
  const form = noteForm(serverKeys.deletion(server));
  const note: Note = { version: 1, owner: thisProcess(command), backups: [...backups] };
  await writeNote(store, form, note).catch((error: unknown) => {
    // Only deleting helps against a full disk.
    if (!hasCode(error, 'disk-full')) throw error;
  });
  try {
    const now = (await store.stat(form.key))?.modifiedAt ?? new Date();
    const wanted = new Set(backups);
    const readers = await liveReaders(store, server, now);
    const reader = readers.find((each) => each.backups.some((id) => wanted.has(id)));
    if (reader !== undefined) throw beingRead(announcement, reader);
    return await work();
  } finally {
    await store.delete(form.key);
  }
}

export function leaseLost(command: string, server: string): WalnutError {
  return new WalnutError('locked', `${command} ${server}: the lease was lost`, {
    hint: 'Nothing more was deleted. See who else works on this repository, then run it again.',
  });
}

async function requireNotDeleted(store: ObjectStore, reading: Reading): Promise<void> {
  const { server, backups, command } = reading;
  const deadline = performance.now() + DELETION_WAIT_MS_MAX;
  for (;;) {
    const deletion = await readLive(store, serverKeys.deletion(server), new Date());
    const going = deletion?.backups.find((id) => backups.includes(id));
    if (deletion === null || going === undefined) return;
    if (performance.now() > deadline) {
      throw new WalnutError(
        'locked',
        `${command} ${server}: ${nameOf(deletion.owner)} is deleting or rewriting backup ${going}`,
        { hint: `Wait until it has finished; \`walnut list ${server}\` then shows what there is.` },
      );
    }
    await sleep(DELETION_LOOK_MS);
  }
}

function beingRead({ server, command }: Announcement, { owner, backups }: Reader): WalnutError {
  return new WalnutError(
    'locked',
    `${command} ${server}: ${nameOf(owner)} reads ${backups.join(', ')}`,
    { hint: 'Wait until it has finished, or stop it; nothing was deleted.', details: { owner } },
  );
}

function nameOf({ command, processId, host, startedAt }: LeaseOwner): string {
  return `${command} (process ${processId} on ${host}, since ${startedAt})`;
}

/** Null for a note that is gone, unreadable, not renewed in time, or of a dead process of this host. */
async function readLive(store: ObjectStore, key: string, now: Date): Promise<Note | null> {
  const [note, info] = await Promise.all([readNote(store, noteForm(key)), store.stat(key)]);
  if (typeof note === 'string' || info === null) return null;
  if (now.getTime() - info.modifiedAt.getTime() > REGISTRATION_MS_MAX) return null;
  const { host, processId } = note.owner;
  return host === hostname() && !isProcessAlive(processId) ? null : note;
}

function noteForm(key: string): NoteForm<Note> {
  return { key, schema: noteSchema, bytesMax: NOTE_BYTES_MAX };
}
