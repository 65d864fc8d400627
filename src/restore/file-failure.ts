import { messageOf, WalnutError, type ErrorCode } from '../lib/walnut-error.ts';

type Explanation = { readonly code: ErrorCode; readonly reason: string; readonly hint: string };

const FULL: Explanation = {
  code: 'disk-full',
  reason: 'no space left on its file system',
  hint: 'Make room or restore elsewhere; remove what this restore has written so far before the next attempt.',
};
const DENIED: Explanation = {
  code: 'permission',
  reason: 'permission denied',
  hint: 'Run the restore as the user who owns the target, or as root.',
};

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  ENOSPC: FULL,
  EDQUOT: { ...FULL, reason: 'the disk quota is used up' },
  EACCES: DENIED,
  EPERM: { ...DENIED, reason: 'operation not permitted' },
  EROFS: {
    code: 'failed',
    reason: 'its file system is read-only',
    hint: 'Mount it for writing; the kernel mounts a failing disk read-only by itself (see dmesg).',
  },
  ELOOP: {
    code: 'failed',
    reason: 'a symbolic link stands in its way',
    hint: 'Someone changed the target while it was restored: remove it and restore again.',
  },
};

/** The error that a person reads for a failed system call on the restored files. `act` is a verb phrase with its object. */
export function fileFailure(error: unknown, act: string): WalnutError {
  if (error instanceof WalnutError) return error;
  const known = EXPLANATIONS[systemCodeOf(error)];
  if (known === undefined) {
    return new WalnutError('failed', `${act}: ${messageOf(error)}`, { cause: error });
  }
  return new WalnutError(known.code, `${act}: ${known.reason}`, { hint: known.hint, cause: error });
}

/** `ENOENT` and its like, or an empty string for anything that no system call threw. */
export function systemCodeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** The error for a target that does not stay as this restore found or left it. */
export function changedMeanwhile(path: string): WalnutError {
  return new WalnutError('failed', `restore ${path}: it changed while it was restored`, {
    hint: 'Something else writes into the target folder: find out what, then restore again.',
  });
}
