import { stat, statfs } from 'node:fs/promises';
import { WalnutError, messageOf, type ErrorCode } from '../../lib/walnut-error.ts';

/** The repository's folder as it was when the store was opened. */
export type FilesystemRoot = {
  readonly path: string;
  /** Tells an unmounted repository, whose bare mount point is left, from the repository itself. */
  readonly inode: bigint;
  /** Permission bits of new objects and folders. */
  readonly fileMode: number;
  readonly folderMode: number;
};

type Explanation = { readonly code: ErrorCode; readonly reason: string; readonly hint: string };

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  EACCES: {
    code: 'permission',
    reason: 'permission denied',
    hint: 'Run Walnut as the user who owns the repository, or give this user access to it.',
  },
  EPERM: {
    code: 'permission',
    reason: 'operation not permitted',
    hint: 'Run Walnut as the user who owns the repository; look for immutable files (lsattr).',
  },
  EROFS: {
    code: 'storage',
    reason: 'the file system is read-only',
    hint: 'Mount it for writing; the kernel mounts a failing disk read-only by itself (see dmesg).',
  },
  EIO: {
    code: 'storage',
    reason: 'input/output error',
    hint: 'The disk or its connection fails (see dmesg). Do not trust this repository before `walnut verify` passed.',
  },
  EMFILE: {
    code: 'storage',
    reason: 'too many open files',
    hint: 'Raise the limit of open files (ulimit -n, or LimitNOFILE of the service).',
  },
  EXDEV: {
    code: 'storage',
    reason: 'a folder of the repository lies on another file system',
    hint: 'Keep the whole repository, its tmp folder included, on one file system.',
  },
  ENOTDIR: {
    code: 'storage',
    reason: 'a part of its path is a file, not a folder',
    hint: 'Something other than Walnut changed the repository; run `walnut verify`.',
  },
};

/**
 * The error that a person reads for a failed system call. `act` is a verb phrase with its object.
 * `repository-missing` when the folder itself is gone or is no longer the one that was opened.
 */
export async function explainFailure(
  error: unknown,
  act: string,
  root: FilesystemRoot,
): Promise<WalnutError> {
  if (error instanceof WalnutError) return error;
  const code = errorNumberOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(error, act, root.path);
  if (code === 'ENOENT' && !(await isPresent(root))) return repositoryMissing(root.path, error);
  const known = EXPLANATIONS[code];
  if (known === undefined) {
    return new WalnutError('storage', `${act} in ${root.path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return new WalnutError(known.code, `${act} in ${root.path}: ${known.reason}`, {
    hint: known.hint,
    cause: error,
  });
}

/** The error for a repository folder that is not there, or whose file system is not mounted. */
export function repositoryMissing(path: string, cause?: unknown): WalnutError {
  return new WalnutError('repository-missing', `open repository folder ${path}: it is not there`, {
    hint: 'Check the path, and that its file system is mounted; a new repository is made by `walnut init`.',
    cause,
  });
}

/** Throws `repository-missing` when the folder is gone, or another one lies at its path. */
export async function assertPresent(root: FilesystemRoot): Promise<void> {
  if (!(await isPresent(root))) throw repositoryMissing(root.path);
}

/** Bytes that an ordinary user can still write on the file system of `path`. */
export async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize, frsize } = await statfs(path);
  return bavail * (frsize > 0 ? frsize : bsize);
}

/** `ENOENT` and its like, or an empty string for anything that no system call threw. */
export function errorNumberOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** True when the path does not name anything. */
export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errorNumberOf(error));
}

async function isPresent(root: FilesystemRoot): Promise<boolean> {
  try {
    // Only the inode is compared: the device number changes when a network file system is mounted again.
    return (await stat(root.path, { bigint: true })).ino === root.inode;
  } catch (error) {
    return !isAbsent(error);
  }
}

async function diskFull(cause: unknown, act: string, path: string): Promise<WalnutError> {
  const isQuota = errorNumberOf(cause) === 'EDQUOT';
  const freeBytes = await freeBytesAt(path).catch(() => null);
  const free =
    freeBytes === null ? '' : ` (${freeBytes} bytes are free on the file system of ${path})`;
  return new WalnutError(
    'disk-full',
    `${act} in ${path}: ${isQuota ? 'the disk quota is used up' : 'no space left on the file system'}`,
    {
      hint: `Make room for the repository${free}, then try again.`,
      cause,
      details: { path, freeBytes },
    },
  );
}
