import { open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { uniqueSuffix } from '../../lib/unique-suffix.ts';
import { TEMPORARY_FOLDER } from '../object-key.ts';
import type { FilesystemDescription } from '../object-store.ts';
import type { DurableFolders } from './durable-folders.ts';
import { errorNumberOf, isAbsent, type FilesystemRoot } from './error-mapping.ts';

/** `<host>-<process id>-<random>`: the host may contain the separator, the other two cannot. */
const NAME = /^(?<host>.+)-(?<processId>[1-9][0-9]{0,9})-[0-9a-f]{16}$/;

const HOST_CHARACTERS_MAX = 64;

export type TemporaryFile = { readonly path: string; readonly handle: FileHandle };

/** Opens a new, empty file below `tmp/`, which is made when it is not there. */
export async function openTemporary(
  root: FilesystemRoot,
  folders: DurableFolders,
): Promise<TemporaryFile> {
  const path = join(root.path, TEMPORARY_FOLDER, temporaryName());
  try {
    return { path, handle: await open(path, 'wx', root.fileMode) };
  } catch (error) {
    if (errorNumberOf(error) !== 'ENOENT') throw error;
    await folders.make(TEMPORARY_FOLDER);
    return { path, handle: await open(path, 'wx', root.fileMode) };
  }
}

/**
 * Removes what killed processes left in `tmp/`, and answers the removed names. Only files of this host whose process is
 * dead and that nobody wrote to for `olderThanMs`: the age protects writers in another container under the same host
 * name, whose process ids mean nothing here. A wrong guess costs that writer an error, never a stored object.
 */
export async function removeStaleTemporaries(
  description: FilesystemDescription,
  olderThanMs: number,
): Promise<string[]> {
  const folder = join(description.path, TEMPORARY_FOLDER);
  const removed: string[] = [];
  for (const name of (await namesIn(folder)).toSorted()) {
    const path = join(folder, name);
    if (!isOrphan(name) || (await ageMs(path)) < olderThanMs) continue;
    await rm(path, { force: true });
    removed.push(name);
  }
  return removed;
}

/** Whether a process of this host runs. Another user's process counts as running. */
export function isProcessAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return errorNumberOf(error) === 'EPERM';
  }
}

function temporaryName(): string {
  return `${hostPart()}-${process.pid}-${uniqueSuffix()}`;
}

function hostPart(): string {
  return (
    hostname()
      .replaceAll(/[^A-Za-z0-9._-]/g, '_')
      .slice(0, HOST_CHARACTERS_MAX) || 'host'
  );
}

function isOrphan(name: string): boolean {
  const { host, processId } = NAME.exec(name)?.groups ?? {};
  return host === hostPart() && !isProcessAlive(Number(processId));
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

async function ageMs(path: string): Promise<number> {
  try {
    // Floored like the clock, or a file of this very millisecond would seem to come from the future.
    return Date.now() - Math.floor((await stat(path)).mtimeMs);
  } catch (error) {
    if (isAbsent(error)) return -Infinity;
    throw error;
  }
}
