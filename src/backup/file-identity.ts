import { hostname } from 'node:os';
import { blake3 } from '../lib/hashing.ts';
import { FILE_IDENTITY_BYTES } from '../repository/map-chunk.ts';

/** A file that was changed shortly before is told apart by no time stamp: the clock of a file system ticks coarsely. */
const QUIET_MS = 3000;
const NANOSECONDS = 1_000_000n;

/** What `lstat` says of a file, by `bigint`. */
export type FileFacts = {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
};

/** Where files are looked at: this host's data directory, and when the backup began by this host's clock. */
export type IdentityScope = { readonly dataDirectory: string; readonly startedMs: number };

/** A text that no other file and no later state of this file has; null when it changed too shortly before. */
export function describeIdentity(facts: FileFacts, scope: IdentityScope): string | null {
  const quietNs = BigInt(Math.floor(scope.startedMs) - QUIET_MS) * NANOSECONDS;
  if (facts.mtimeNs > quietNs || facts.ctimeNs > quietNs) return null;
  const { dev, ino, size, mtimeNs, ctimeNs } = facts;
  return [hostname(), scope.dataDirectory, dev, ino, size, mtimeNs, ctimeNs].join('\0');
}

export function identityOf(text: string | null): Uint8Array | null {
  if (text === null) return null;
  return Uint8Array.from(blake3(Buffer.from(text, 'utf8')).subarray(0, FILE_IDENTITY_BYTES));
}
