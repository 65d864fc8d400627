import { rmSync } from 'node:fs';
import { chmod, lchown, mkdtemp, readdir, readlink, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import { onProcessEnd } from './process-end.ts';
import { isTraversable } from './reachability.ts';
import { isRoot, type SystemUser } from './unprivileged-user.ts';

/** A folder that exists only for a while; it is removed by `remove` or, failing that, when the process ends. */
export type ScratchFolder = {
  readonly path: string;
  /** Removes the folder and all in it, whoever owns it; removing twice is no error. */
  remove(): Promise<void>;
  /** Leaves the folder where it is for good. */
  keep(): void;
};

export type ScratchFolderOptions = {
  /** Default: the system's folder for temporary files, or /tmp when `user` cannot pass through that. */
  readonly parent?: string | undefined;
  readonly prefix?: string;
};

/** Makes a folder that `user` can pass through (mode 711) but only its creator can list or change. */
export async function makeScratchFolder(
  user: SystemUser,
  options: ScratchFolderOptions = {},
): Promise<ScratchFolder> {
  const parent = await realpath(options.parent ?? (await temporaryFolderFor(user)));
  if (!(await isTraversable(parent, user))) {
    throw new WalnutError(
      'permission',
      `make a scratch folder in ${parent}: user ${user.name} cannot pass through it`,
      { hint: 'Choose a folder whose parents all have mode 755 or 711, such as /var/tmp.' },
    );
  }
  const path = await mkdtemp(join(parent, options.prefix ?? 'walnut-'));
  await chmod(path, 0o711);
  const forget = onProcessEnd(() => rmSync(path, { recursive: true, force: true }));
  return {
    path,
    async remove() {
      await removeFolder(path);
      forget();
    },
    keep: forget,
  };
}

/** Removes a folder with everything in it, also where a server of the same user took away its own write permission. */
export async function removeFolder(path: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 3 } as const;
  try {
    await rm(path, options);
  } catch {
    await openUp(path);
    await rm(path, options);
  }
}

/**
 * Hands a folder and all in it to `user`, symbolic links themselves included, and what the links directly inside
 * `pg_tblspc` and `pg_wal` point to. Does nothing unless this process is root.
 */
export async function giveToUser(folder: string, user: SystemUser): Promise<void> {
  if (!isRoot()) return;
  await lchown(folder, user.uid, user.gid);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await giveToUser(path, user);
    else await lchown(path, user.uid, user.gid);
    if (entry.isSymbolicLink() && /(^|\/)(pg_tblspc\/\d+|pg_wal)$/.test(path)) {
      await giveToUser(resolve(folder, await readlink(path)), user);
    }
  }
}

async function temporaryFolderFor(user: SystemUser): Promise<string> {
  return (await isTraversable(tmpdir(), user)) ? tmpdir() : '/tmp';
}

async function openUp(path: string): Promise<void> {
  const facts = await stat(path).catch(() => undefined);
  if (facts?.isDirectory() !== true) return;
  await chmod(path, 0o700);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(join(path, entry.name));
  }
}
