import {
  listServerFolder,
  readServerFile,
  type ServerFolderEntry,
} from '../postgres/connection/file-listing.ts';
import { readServerRanges } from '../postgres/connection/file-reads.ts';
import { openSessionWith, type RunningServer } from '../postgres/connection/running-server.ts';
import type { ServerFacts } from '../postgres/connection/server-facts.ts';
import type { Session } from '../postgres/connection/session.ts';
import type { ClusterSource, Folder, FolderEntry, RangeReader } from './cluster-source.ts';

/** SQL tells the time of change, but nothing that tells one file from another of the same name. */
const NO_STAMP = { changedMs: 0, inode: 0, device: 0 };

/** `connection`: nothing runs on the database host; files are listed and read by SQL functions. */
export class ConnectionClusterSource implements ClusterSource {
  readonly #session: Session;
  readonly #folderMode: number;

  constructor(session: Session, facts: ServerFacts) {
    this.#session = session;
    this.#folderMode = facts.dataDirectoryMode;
  }

  /** SQL does not tell permissions: they are those that PostgreSQL gives to all its files. */
  async readFolder(path: string): Promise<Folder | null> {
    const entries = await listServerFolder(this.#session, path);
    if (entries === null) return null;
    const known = new Map(entries.map((entry) => [entry.name, entry]));
    return { names: [...known.keys()], look: (name) => this.#entryOf(known.get(name)) };
  }

  #entryOf(entry: ServerFolderEntry | undefined): FolderEntry | null {
    if (entry === undefined) return null;
    const { name, isFolder, sizeBytes, modifiedMs } = entry;
    const mode = isFolder ? this.#folderMode : this.#folderMode & 0o660;
    const kind = isFolder ? 'folder' : 'file';
    return { name, kind, sizeBytes, mode, modifiedMs, target: null, ...NO_STAMP };
  }

  identify(): null {
    return null;
  }

  async readSmallFile(path: string, maxBytes: number): Promise<Buffer | null> {
    return readServerFile(this.#session, path, maxBytes);
  }

  async close(): Promise<void> {
    // The session belongs to the backup.
  }
}

/** A worker's reader: a session of its own, with the very server that the backup was started on. */
export async function openConnectionRangeReader(server: RunningServer): Promise<RangeReader> {
  const session = await openSessionWith(server, 'walnut backup');
  return {
    readRanges: async (ranges, sink) => readServerRanges(session, ranges, sink),
    close: async () => session.close(),
  };
}
