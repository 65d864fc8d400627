import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { blake3 } from '../lib/hashing.ts';
import { FILE_IDENTITY_BYTES, type FileIdentity } from '../repository/map-chunk.ts';

/** A file that was changed shortly before is told apart by no time stamp: the clock of a file system ticks coarsely. */
const QUIET_MS = 3000;
const SCOPE_BYTES = 32;
const NUMBERS = 5;

/** What a file system says of a file. Times to a quarter of a microsecond, which {@link QUIET_MS} makes plenty. */
export type FileStamp = {
  readonly device: number;
  readonly inode: number;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Last change of the inode. */
  readonly changedMs: number;
};

/**
 * A crash of the host may leave new content under old times: pages and inodes reach the disk separately. So an identity
 * lives as long as the host is up.
 */
function bootOfHost(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}

/** Makes identities of the files of one data directory, as this host sees them. */
export class FileIdentifier {
  readonly #quietMs: number;
  /** Null where the host does not say when it was booted. */
  readonly #bytes: Buffer | null;

  /** @param startedMs when the backup began, by this host's clock. */
  constructor(dataDirectory: string, startedMs: number) {
    this.#quietMs = startedMs - QUIET_MS;
    const boot = bootOfHost();
    const scope = blake3(Buffer.from([hostname(), boot, dataDirectory].join('\0'), 'utf8'));
    this.#bytes = boot === null ? null : Buffer.concat([scope, Buffer.alloc(NUMBERS * 8)]);
  }

  /** Null when the file was changed too shortly before the backup began. */
  identify(stamp: FileStamp): FileIdentity {
    if (this.#bytes === null) return null;
    if (stamp.modifiedMs > this.#quietMs || stamp.changedMs > this.#quietMs) return null;
    const { device, inode, sizeBytes, modifiedMs, changedMs } = stamp;
    let at = SCOPE_BYTES;
    for (const number of [device, inode, sizeBytes, modifiedMs, changedMs]) {
      at = this.#bytes.writeDoubleLE(number, at);
    }
    return Uint8Array.from(blake3(this.#bytes).subarray(0, FILE_IDENTITY_BYTES));
  }
}
