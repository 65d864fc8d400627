/**
 * Turns the tar archives of a base backup into tasks for the copy workers: small files many at a time, large ones in
 * slices, each task with its bytes in one buffer of its own.
 */
import { Blake3 } from '../lib/hashing.ts';
import { CONTROL_FILE_PATH } from '../postgres/cluster/control-file.ts';
import { classifyFile } from '../postgres/cluster/relation-file.ts';
import { TarReader, type TarEntry } from '../postgres/cluster/tar-reader.ts';
import type { CopyItem } from './copy-messages.ts';

/** Bytes per task: a multiple of a full frame, so that slices of a relation end where its frames do. */
const STREAM_TASK_BYTES: number = 4 * 1024 * 1024;
const TASK_ITEMS_MAX = 1024;
const PAGE_BYTES = 8192;
/** Files that the manifest keeps byte for byte instead of the map. */
const KEPT_PATHS: ReadonlySet<string> = new Set([
  CONTROL_FILE_PATH,
  'backup_label',
  'tablespace_map',
]);
const KEPT_BYTES_MAX: number = 1024 * 1024;

export type StreamTask = {
  readonly items: readonly CopyItem[];
  readonly bytes: Uint8Array<ArrayBuffer>;
};

export class StreamTasks {
  /** Content of `pg_control`, `backup_label` and `tablespace_map`. */
  readonly kept: Map<string, Buffer> = new Map();
  /** BLAKE3 of the files that were cut into several slices. */
  readonly hashes: Map<string, Uint8Array> = new Map();
  readonly #send: (task: StreamTask) => Promise<void>;
  #tar = new TarReader();
  #prefix = '';
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(STREAM_TASK_BYTES);
  #used = 0;
  #items: CopyItem[] = [];
  #file: OpenFile | null = null;

  constructor(send: (task: StreamTask) => Promise<void>) {
    this.#send = send;
  }

  /** An archive begins: a tablespace's, or with null the data directory's. */
  async beginArchive(tablespaceOid: number | null): Promise<void> {
    this.#tar = new TarReader();
    this.#prefix = tablespaceOid === null ? '' : `pg_tblspc/${tablespaceOid}/`;
    if (tablespaceOid === null) return;
    await this.#addItem(directory(`pg_tblspc/${tablespaceOid}`, 0o700));
  }

  async feed(bytes: Uint8Array): Promise<void> {
    for (const event of this.#tar.feed(bytes)) {
      if (event.kind === 'entry') await this.#beginEntry(event.entry);
      else if (event.kind === 'data') await this.#takeData(event.bytes);
      else this.#endFile();
    }
  }

  /** The archive is complete; throws when it was cut. */
  endArchive(): void {
    this.#tar.end();
  }

  /** Sends what is left. */
  async finish(): Promise<void> {
    await this.#flush();
  }

  async #beginEntry(entry: TarEntry): Promise<void> {
    const path = `${this.#prefix}${entry.path}`;
    if (entry.kind === 'file') {
      await this.#beginFile(path, entry);
    } else if (entry.kind === 'directory') {
      // Links of tablespaces are left to the archives they lead to, which bring a folder in their place.
      await this.#addItem(directory(path, entry.mode & 0o777));
    }
  }

  async #beginFile(path: string, entry: TarEntry): Promise<void> {
    const { sizeBytes } = entry;
    if (KEPT_PATHS.has(path) && sizeBytes <= KEPT_BYTES_MAX) {
      this.#file = { kind: 'kept', path, parts: [] };
      if (sizeBytes === 0) this.kept.set(path, Buffer.alloc(0));
      return;
    }
    const isRelation = classifyFile(path).kind === 'relation' && sizeBytes % PAGE_BYTES === 0;
    const item: CopyItem = {
      path,
      kind: isRelation ? 'relation' : 'file',
      target: null,
      mode: entry.mode & 0o777,
      modifiedMs: entry.mtime.getTime(),
      sizeBytes,
      identity: null,
      offset: 0,
      length: 0,
      ...READ_ALL,
    };
    // A file begins at the start of a buffer unless it fits whole: then its slices end where frames do.
    if (sizeBytes > STREAM_TASK_BYTES - this.#used) await this.#flush();
    const hasSlices = sizeBytes > STREAM_TASK_BYTES && !isRelation;
    this.#file = {
      kind: 'copied',
      item,
      done: 0,
      sliceFrom: 0,
      hasher: hasSlices ? new Blake3() : null,
    };
    if (sizeBytes === 0) await this.#addItem(item);
  }

  async #takeData(bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file?.kind === 'kept') {
      file.parts.push(Buffer.from(bytes));
    } else if (file?.kind === 'copied') {
      file.hasher?.update(bytes);
      await this.#copyData(file, bytes);
    }
  }

  async #copyData(file: CopiedFile, bytes: Uint8Array): Promise<void> {
    let taken = 0;
    while (taken < bytes.length) {
      const count = Math.min(bytes.length - taken, STREAM_TASK_BYTES - this.#used);
      this.#buffer.set(bytes.subarray(taken, taken + count), this.#used);
      this.#used += count;
      file.done += count;
      taken += count;
      const isWhole = file.done === file.item.sizeBytes;
      if (isWhole || this.#used === STREAM_TASK_BYTES) await this.#closeSlice(file);
    }
  }

  async #closeSlice(file: CopiedFile): Promise<void> {
    const length = file.done - file.sliceFrom;
    await this.#addItem({ ...file.item, offset: file.sliceFrom, length });
    file.sliceFrom = file.done;
    if (this.#used === STREAM_TASK_BYTES) await this.#flush();
  }

  #endFile(): void {
    const file = this.#file;
    if (file?.kind === 'kept') this.kept.set(file.path, Buffer.concat(file.parts));
    if (file?.kind === 'copied' && file.hasher !== null) {
      this.hashes.set(file.item.path, Uint8Array.from(file.hasher.digest()));
    }
    this.#file = null;
  }

  async #addItem(item: CopyItem): Promise<void> {
    this.#items.push(item);
    if (this.#items.length >= TASK_ITEMS_MAX) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#items.length === 0) return;
    const task = { items: this.#items, bytes: this.#buffer.subarray(0, this.#used) };
    this.#items = [];
    this.#used = 0;
    this.#buffer = new Uint8Array(STREAM_TASK_BYTES);
    await this.#send(task);
  }
}

type CopiedFile = {
  readonly kind: 'copied';
  readonly item: CopyItem;
  readonly hasher: Blake3 | null;
  done: number;
  sliceFrom: number;
};

type OpenFile =
  | CopiedFile
  | { readonly kind: 'kept'; readonly path: string; readonly parts: Buffer[] };

/** Of what a stream brings nothing is known from before. */
const READ_ALL = { runs: null, earlier: [], earlierFile: null } as const;

function directory(path: string, mode: number): CopyItem {
  const nothing = { sizeBytes: 0, offset: 0, length: 0, target: null, identity: null };
  return { path, kind: 'directory', mode, modifiedMs: 0, ...nothing, ...READ_ALL };
}
