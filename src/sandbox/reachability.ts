import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isRoot, type SystemUser } from './unprivileged-user.ts';

export type FileMode = { readonly mode: number; readonly uid: number; readonly gid: number };

const READ = 4;
const EXECUTE = 1;

/** Whether the permission bits let `user`, in no other group than its own, use the file in the way of `bits`. */
export function permits(file: FileMode, user: SystemUser, bits: number): boolean {
  if (user.uid === 0) return true;
  const shift = file.uid === user.uid ? 6 : file.gid === user.gid ? 3 : 0;
  return ((file.mode >> shift) & bits) === bits;
}

/**
 * Whether `user` may pass through every folder above `path` and read and search (a folder) or read (a file) `path`
 * itself. Answers by permission bits, as they hold for a child spawned by root, which has no supplementary groups.
 * For a process that is not root, what it can reach is what it can open, so the answer is whether `path` exists.
 */
export async function isReachable(path: string, user: SystemUser): Promise<boolean> {
  const own = await stat(path).catch(() => undefined);
  if (own === undefined) return false;
  if (!isRoot()) return true;
  if (!permits(own, user, own.isDirectory() ? READ | EXECUTE : READ)) return false;
  return await isTraversable(dirname(resolve(path)), user);
}

/** Whether `user` may pass through the folder and every folder above it, as written and with links resolved. */
export async function isTraversable(folder: string, user: SystemUser): Promise<boolean> {
  if (!isRoot()) return true;
  const written = resolve(folder);
  const real = await realpath(written).catch(() => written);
  for (const start of new Set([written, real])) {
    if (!(await everyParentPermits(start, user))) return false;
  }
  return true;
}

async function everyParentPermits(folder: string, user: SystemUser): Promise<boolean> {
  for (let current = folder; ; current = dirname(current)) {
    const facts = await stat(current).catch(() => undefined);
    if (facts === undefined || !permits(facts, user, EXECUTE)) return false;
    if (current === dirname(current)) return true;
  }
}
