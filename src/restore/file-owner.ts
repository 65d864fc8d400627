import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { WalnutError } from '../lib/walnut-error.ts';

/** Who gets the restored files. */
export type FileOwner = {
  readonly uid: number;
  readonly gid: number;
};

export type ResolvedOwner = FileOwner & {
  /** The account's name, or its number where it has none. */
  readonly name: string;
};

const LOOK_UP_TIMEOUT_MS = 10_000;

const run = promisify(execFile);

/**
 * The account that the restored files are given to: the one asked for, else the owner of the folder that holds the
 * target, or with `keep` of the cluster that stands in it. Null when this process is not root: files then belong to whoever runs it.
 * @throws WalnutError `usage` for an unknown account, or for another account than one's own without being root.
 */
export async function resolveOwner(
  targetDirectory: string,
  { wanted, keep }: { readonly wanted: string | null; readonly keep: boolean },
): Promise<ResolvedOwner | null> {
  const ownUid = process.geteuid?.() ?? 0;
  if (wanted === null) {
    if (ownUid !== 0) return null;
    const present = keep ? await ownerOfFolder(targetDirectory) : null;
    return present ?? (await ownerOfNearestFolder(targetDirectory));
  }
  const owner = await lookUpAccount(wanted);
  if (ownUid === 0) return owner;
  if (owner.uid === ownUid) return null;
  throw new WalnutError('usage', `give the restored files to ${wanted}: only root can do that`, {
    hint: 'Run the restore as root, or as that user and without --owner.',
  });
}

/** Null for root, to whom a folder belongs that an unfinished restore made. */
async function ownerOfFolder(path: string): Promise<ResolvedOwner | null> {
  const info = await stat(path).catch(() => null);
  if (info === null || info.uid === 0) return null;
  return { uid: info.uid, gid: info.gid, name: await accountName(info.uid) };
}

/** The account under which this process makes files. */
export async function ownAccountName(): Promise<string> {
  return accountName(process.geteuid?.() ?? 0);
}

/** The owner of the deepest folder above `path` that exists. */
async function ownerOfNearestFolder(path: string): Promise<ResolvedOwner> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const info = await stat(folder).catch(() => null);
    if (info !== null) {
      return { uid: info.uid, gid: info.gid, name: await accountName(info.uid) };
    }
  }
}

async function lookUpAccount(name: string): Promise<ResolvedOwner> {
  try {
    // `id` asks the system's whole name service, which also knows accounts that are not in /etc/passwd.
    const { stdout } = await run('id', ['-u', '--', name], { timeout: LOOK_UP_TIMEOUT_MS });
    const group = await run('id', ['-g', '--', name], { timeout: LOOK_UP_TIMEOUT_MS });
    return { uid: Number(stdout), gid: Number(group.stdout), name };
  } catch (error) {
    throw new WalnutError('usage', `give the restored files to ${name}: no such user`, {
      hint: 'Name the account that PostgreSQL runs under, such as --owner postgres.',
      cause: error,
    });
  }
}

async function accountName(uid: number): Promise<string> {
  try {
    const { stdout } = await run('id', ['-un', '--', String(uid)], { timeout: LOOK_UP_TIMEOUT_MS });
    return stdout.trim();
  } catch {
    return String(uid);
  }
}
