/**
 * Markers of `wal push --ahead`: each says that one file of `pg_wal` is durable in the repository before PostgreSQL asked
 * for it, so that `bin/walnut` can answer without starting Node. Five lines of text, compared as a whole by the shim:
 *
 *   walnut pushed ahead 1
 *   server
 *   incarnation as given on the command line, or `-`
 *   identity of the configuration file
 *   identity of the WAL file
 *
 * A file's identity is device, inode, size, mtime and ctime, as `stat -L -c '%d:%i:%s:%.9Y:%.9Z'` of GNU prints them. A
 * cluster made anew, a copy, a segment recycled under another name or written again has another one. A marker is written
 * after its file is durable and answers once: then the shim empties it, and the next start removes it. Losing one costs a
 * push that finds its file stored, so none is synced.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';

const FIRST_LINE = 'walnut pushed ahead 1';
const MARKER_BYTES_MAX = 1024;
const OTHERS_WRITE = 0o022;
const NANOSECONDS = 1_000_000_000n;

/** What must be the same when PostgreSQL asks. */
export type MarkerBinding = {
  readonly server: string;
  /** As given on the command line. */
  readonly incarnation?: string | undefined;
  /** Identity of the configuration, taken before it was read. */
  readonly configuration: string;
};

export async function readFileIdentity(path: string): Promise<string> {
  return fileIdentity(await stat(path, { bigint: true }));
}

export function fileIdentity({ dev, ino, size, mtimeNs, ctimeNs }: Identified): string {
  return [dev, ino, size, seconds(mtimeNs), seconds(ctimeNs)].join(':');
}

type Identified = Pick<BigIntStats, 'dev' | 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>;

export function renderMarker(binding: MarkerBinding, identity: string): string {
  const { server, incarnation = '-', configuration } = binding;
  return `${[FIRST_LINE, server, incarnation, configuration, identity].join('\n')}\n`;
}

/** The markers of one server: `DIR/SERVER/FILE`. */
export class AheadMarkers {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the folders. Throws `permission` for one in which others could write: a false marker would lose WAL. */
  static async open(directory: string, server: string): Promise<AheadMarkers> {
    const folder = join(directory, server);
    try {
      await makeFolder(folder);
      for (const each of [dirname(folder), folder]) await refuseForeign(each);
    } catch (error) {
      if (error instanceof WalnutError) throw error;
      throw new WalnutError('failed', `use ${folder} for markers: ${messageOf(error)}`, {
        hint: 'Give --ahead a folder that the user of the server can make or owns.',
        cause: error,
      });
    }
    return new AheadMarkers(folder);
  }

  async list(): Promise<string[]> {
    return readdir(this.#folder);
  }

  async matches(file: string, text: string): Promise<boolean> {
    const path = join(this.#folder, file);
    const { size } = await lstat(path);
    return size <= MARKER_BYTES_MAX && (await readFile(path, 'utf8')) === text;
  }

  /** Never replaces one. A half written marker is none: it is not the text that the shim expects. */
  async write(file: string, text: string): Promise<void> {
    const handle = await open(join(this.#folder, file), 'wx', 0o600);
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
  }

  async remove(file: string): Promise<void> {
    await unlink(join(this.#folder, file));
  }
}

/** Node's own recursive mkdir never ends where the kernel answers ENOENT below a folder that exists, such as /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    if (!isErrno(error, 'ENOENT') || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
}

async function refuseForeign(folder: string): Promise<void> {
  const found = await lstat(folder);
  const isOwn = found.isDirectory() && found.uid === process.geteuid?.();
  if (isOwn && (found.mode & OTHERS_WRITE) === 0) return;
  throw new WalnutError(
    'permission',
    `use ${folder} for markers: it is no folder that only the present user can write`,
    { hint: 'Give --ahead a folder of its own, such as one in the spool folder.' },
  );
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function seconds(nanoseconds: bigint): string {
  const fraction = String(nanoseconds % NANOSECONDS).padStart(9, '0');
  return `${nanoseconds / NANOSECONDS}.${fraction}`;
}
