import { WalnutError } from '../../lib/walnut-error.ts';

/** Longer than any path a server can open (MAXPGPATH is 1024). */
const PATH_BYTES_MAX = 4096;

/** Why a path from a server, an archive or a manifest must not be used below a directory; null when it may. */
export function unsafePathReason(path: string): string | null {
  if (path === '') return 'it is empty';
  if (path.length > PATH_BYTES_MAX) return 'it is too long';
  if (path.includes('\0')) return 'it contains a NUL byte';
  if (path.startsWith('/')) return 'it is absolute';
  const parts = path.split('/');
  if (parts.includes('..')) return 'it contains ".."';
  if (parts.includes('.')) return 'it contains "."';
  if (parts.includes('')) return 'it contains an empty component';
  return null;
}

/**
 * Returns `path` when it is relative, without `.`, `..`, empty components and NUL bytes; so it stays below the directory
 * it is joined to, unless a symbolic link already there leads out. Paths that come from outside are hostile until then
 * (CVE-2026-6475).
 * @param origin what held the path, for the message: "backup manifest", "tar archive".
 * @throws WalnutError `object-damaged`
 */
export function requireSafePath(path: string, origin: string): string {
  const reason = unsafePathReason(path);
  if (reason === null) return path;
  throw new WalnutError(
    'object-damaged',
    `accept path ${JSON.stringify(path.slice(0, 200))} from ${origin}: ${reason}`,
    { hint: 'Nothing was written under this name. Find out who made the source of this path.' },
  );
}
