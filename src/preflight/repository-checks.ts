import { readBackupCatalog } from '../catalog/backup-catalog.ts';
import { serverKeys } from '../repository/layout.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fail, failedBy, pass, type Finding } from './finding.ts';
import type { CheckedRepository } from './check-types.ts';

/** Larger than any write cache would hide, small enough to be no load. */
const PROBE_BYTES: number = 1024 * 1024;

/** Writes, reads back and removes a small mutable object, and the space that a new object needs first. */
export async function checkRepository(
  store: ObjectStore,
  server: string,
  signal: AbortSignal,
): Promise<Finding> {
  const name = 'repository';
  const { path } = store.description;
  const key = `${serverKeys.folder(server)}verified/check`;
  const probe = Buffer.alloc(PROBE_BYTES, 0x5a);
  try {
    const writer = await store.beginWrite(`${serverKeys.folder(server)}verified/check-object`);
    try {
      await writer.writePart(probe);
    } finally {
      await writer.abort();
    }
    await store.replace(key, probe);
    const read = await store.get(key, PROBE_BYTES);
    await store.delete(key);
    if (read.equals(probe)) return pass(name, `${path} can be read and written durably`);
    return fail(name, `${path} gives back other bytes than were written`, {
      kind: 'other',
      text: 'The file system or its disk is broken: put the repository elsewhere.',
    });
  } catch (error) {
    return failedBy(name, error, signal);
  }
}

export async function readCheckedRepository(
  store: ObjectStore,
  server: string,
): Promise<CheckedRepository> {
  const { backups } = await readBackupCatalog(store, server);
  return { store, backups };
}

/** The next backup must fit: as large as the last one, or as the cluster would be at half its size. */
export async function checkSpace(
  { store, backups }: CheckedRepository,
  clusterBytes: number | null,
): Promise<Finding> {
  const name = 'repository space';
  const newestBackup = backups.at(-1) ?? null;
  const free = await store.freeBytes();
  if (free === null) return pass(name, 'the store has no limit');
  const needed = newestBackup?.manifest.totals.storedBytes ?? (clusterBytes ?? 0) / 2;
  const basis = newestBackup === null ? 'the first backup may need' : 'the last backup took';
  const detail = `${gigabytes(free)} free, ${basis} ${gigabytes(needed)}`;
  if (free > needed) return pass(name, detail);
  return fail(name, detail, {
    kind: 'other',
    text: 'Make room on the file system of the repository, or put the repository on a larger one.',
  });
}

export function checkLastBackup(
  { backups }: CheckedRepository,
  request: { readonly server: string; readonly now: Date },
): Finding {
  const name = 'last backup';
  const newestBackup = backups.at(-1) ?? null;
  if (newestBackup === null) return pass(name, `none yet: walnut backup ${request.server}`);
  const { id, finishedAt, damaged } = newestBackup;
  const hours = (request.now.getTime() - finishedAt.getTime()) / 3_600_000;
  const age = hours < 48 ? `${hours.toFixed(1)} hours` : `${(hours / 24).toFixed(1)} days`;
  if (!damaged) return pass(name, `${id}, ${age} ago`);
  return fail(name, `${id}, ${age} ago, holds pages that were damaged on the server`, {
    kind: 'other',
    text: `See them with \`walnut show ${request.server} ${id}\`, repair the server, and back it up again.`,
  });
}

function gigabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
