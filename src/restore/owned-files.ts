import { chown, lchown, mkdir, open, realpath, symlink } from 'node:fs/promises';
import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import type { FileOwner } from './file-owner.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';

const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;

export type OwnedFile = {
  readonly path: string;
  readonly content: Uint8Array | string;
  readonly mode: number;
  readonly owner: FileOwner | null;
};

/** Writes a whole file and makes its content durable; the folder's entry is the caller's to sync. */
export async function writeOwnedFile({ path, content, mode, owner }: OwnedFile): Promise<void> {
  try {
    const handle = await open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_TRUNC, mode);
    try {
      await handle.writeFile(content);
      if (owner !== null) await handle.chown(owner.uid, owner.gid);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileFailure(error, `write ${path}`);
  }
}

/** Makes a folder unless there is one, and everything durable that has to do with it. */
export async function ensureOwnedFolder(
  path: string,
  { mode, owner }: { readonly mode: number; readonly owner: FileOwner | null },
): Promise<void> {
  try {
    await mkdir(path, { mode });
    if (owner !== null) await chown(path, owner.uid, owner.gid);
    await syncFolder(path);
    await syncFolder(dirname(path));
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw fileFailure(error, `make folder ${path}`);
  }
}

/** Makes a symbolic link that belongs to the owner, unless one stands there that leads to the same, and makes it durable. */
export async function makeOwnedLink(
  path: string,
  { target, owner }: { readonly target: string; readonly owner: FileOwner | null },
): Promise<void> {
  try {
    await symlink(target, path);
    if (owner !== null) await lchown(path, owner.uid, owner.gid);
    await syncFolder(dirname(path));
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST' && (await leadsTo(path, target))) return;
    throw fileFailure(error, `make link ${path} to ${target}`);
  }
}

/** Whether a symbolic link leads to a folder that exists. */
export async function leadsTo(link: string, folder: string): Promise<boolean> {
  const [there, wanted] = await Promise.all(
    [link, folder].map(async (path) => await realpath(path).catch(() => null)),
  );
  return there !== null && there === wanted;
}
