/**
 * The receiver's local copy of WAL that is not yet in the repository. Invariants:
 * - at most one segment is open, as `<segment>.partial`, written from its start on without a hole;
 * - what `durableEnd` reports survives a crash of the host: the server may forget it;
 * - a segment without an ending is whole and durable, and waits to be stored;
 * - files are removed only after their content is durable in the repository.
 */
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert, must } from '../lib/assert.ts';
import { ALIGNMENT_BYTES } from '../lib/aligned-buffer.ts';
import { DirectFile, readPastCache } from '../lib/direct-file.ts';
import { syncFolder } from '../lib/durable-file.ts';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import type { WalMemory } from '../postgres/replication/batch-memory.ts';
import { isSegmentName } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { makeWalBuffers } from '../postgres/wal/wal-buffers.ts';
import { SegmentMemory } from './segment-memory.ts';
import { spoolPaths, type SpoolPlace } from './spool-paths.ts';

/** A buffer for reading segments of up to this size is kept: fresh memory for each costs more than reading into it. */
const READ_BUFFER_BYTES_MAX: number = 64 * 1024 * 1024;

export type SpooledPart = {
  readonly name: string;
  /** Bytes from the segment's start. */
  readonly length: number;
  /** How many of them are durable and known to be good. */
  readonly durable: number;
};

type OpenFile = {
  readonly name: string;
  readonly handle: FileHandle;
  readonly direct: DirectFile;
  /** Holds what was written, where there is room for it. */
  readonly memory: Buffer | null;
  /** Bytes written from the segment's start in this life. */
  written: number;
  synced: number;
};

export class Spool {
  readonly #paths: ReturnType<typeof spoolPaths>;
  readonly #segmentBytes: number;
  readonly #complete = new Set<string>();
  readonly #partial = new Map<string, { length: number; durable: number }>();
  readonly #memory: SegmentMemory;
  #open: OpenFile | null = null;
  #readBuffer: Buffer | null = null;

  private constructor(place: SpoolPlace, segmentBytes: number) {
    this.#paths = spoolPaths(place);
    this.#segmentBytes = segmentBytes;
    this.#memory = new SegmentMemory(segmentBytes);
  }

  /** Makes the folder when it is missing, and finds what a former life left there. */
  static async open(place: SpoolPlace, segmentBytes: number): Promise<Spool> {
    const spool = new Spool(place, segmentBytes);
    await spool.#recover();
    return spool;
  }

  get folder(): string {
    return this.#paths.folder;
  }

  /** Whole segments that wait to be stored, in order of their names. */
  get completeNames(): readonly string[] {
    return [...this.#complete].toSorted();
  }

  /** Unfinished segments: the open one, and tails of timelines that were left. */
  get partials(): readonly SpooledPart[] {
    return [...this.#partial]
      .map(([name, { length, durable }]) => ({ name, length, durable }))
      .toSorted((first, second) => (first.name < second.name ? -1 : 1));
  }

  /** An upper bound of what the files take. */
  get usedBytes(): number {
    let bytes = this.#complete.size * this.#segmentBytes;
    for (const { length } of this.#partial.values()) bytes += length;
    return bytes;
  }

  /** Where a stream of a timeline is to put what arrives, when no other is read any more; null when it is to see to it. */
  memoryFor(timeline: TimelineId): WalMemory | null {
    return this.#memory.ofTimeline(timeline);
  }

  get openName(): string | null {
    return this.#open?.name ?? null;
  }

  /** Bytes of the open segment that this life has made durable; 0 without one. */
  get syncedBytes(): number {
    return this.#open?.synced ?? 0;
  }

  /** Begins a segment, or begins it again: bytes of a former life stay until they are written over. */
  async begin(name: string): Promise<void> {
    assert(isSegmentName(name), `${name} names a segment`);
    await this.leave();
    await this.#explain('open', name, async () => {
      const path = this.#paths.partial(name);
      const isNew = !this.#partial.has(name);
      const handle = await open(path, isNew ? 'wx' : 'r+', 0o600);
      if (isNew) await syncFolder(this.#paths.folder);
      const direct = new DirectFile(path);
      this.#open = {
        name,
        handle,
        direct,
        memory: this.#memory.filling(name),
        written: 0,
        synced: 0,
      };
      if (isNew) this.#partial.set(name, { length: 0, durable: 0 });
    });
  }

  /** Says how far the bytes that a former life left of a segment are valid WAL. */
  trust(name: string, length: number): void {
    const part = must(this.#partial.get(name), `${name} lies in the spool`);
    assert(length <= part.length, 'nothing is trusted that is not there');
    part.durable = Math.max(part.durable, length);
  }

  /** Appends to the open segment. The bytes are not durable before {@link sync} or {@link finish}. */
  async append(parts: readonly Uint8Array[]): Promise<void> {
    const file = must(this.#open, 'a segment is open');
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    assert(file.written + length <= this.#segmentBytes, 'WAL stays within its segment');
    await this.#explain('write', file.name, async () => {
      if (file.memory === null) await writeParts(file, parts);
      else await writeThrough({ ...file, memory: file.memory }, parts);
      file.written += length;
      const part = must(this.#partial.get(file.name), 'the open segment is counted');
      part.length = Math.max(part.length, file.written);
    });
  }

  /** Makes what was appended durable. */
  async sync(): Promise<void> {
    const file = this.#open;
    if (file === null || file.synced === file.written) return;
    const { written } = file;
    await this.#explain('sync', file.name, async () => file.handle.datasync());
    file.synced = written;
    const part = must(this.#partial.get(file.name), 'the open segment is counted');
    part.durable = Math.max(part.durable, written);
  }

  /** The open segment is whole: makes it durable under its own name. */
  async finish(): Promise<string> {
    const file = must(this.#open, 'a segment is open');
    assert(file.written === this.#segmentBytes, 'a finished segment is whole');
    await this.sync();
    await this.#explain('finish', file.name, async () => {
      await this.#close();
      this.#memory.finish(file.name);
      await rename(this.#paths.partial(file.name), this.#paths.complete(file.name));
      await syncFolder(this.#paths.folder);
    });
    this.#partial.delete(file.name);
    this.#complete.add(file.name);
    return file.name;
  }

  /** Closes the open segment, durable and unfinished. */
  async leave(): Promise<void> {
    const file = this.#open;
    if (file === null) return;
    try {
      await this.sync();
    } finally {
      await this.#close();
    }
  }

  /** Forgets the open segment without making it durable, after a write to it failed. */
  async abandon(): Promise<void> {
    await this.#close().catch(() => {});
  }

  /** The bytes are valid until the next call, or until the segment is removed. */
  async readComplete(name: string): Promise<Buffer> {
    const held = this.#memory.read(name);
    if (held !== null) return held;
    return this.#explain('read', name, async () => {
      const content = (this.#readBuffer ??= this.#newReadBuffer());
      if (content.length > READ_BUFFER_BYTES_MAX) this.#readBuffer = null;
      const length = await readPastCache(this.#paths.complete(name), content);
      assert(length === content.length, 'a whole segment lies in the spool');
      return content;
    });
  }

  #newReadBuffer(): Buffer {
    if (this.#segmentBytes > READ_BUFFER_BYTES_MAX)
      return Buffer.allocUnsafeSlow(this.#segmentBytes);
    const [buffer] = makeWalBuffers(1, this.#segmentBytes);
    return must(buffer, 'one buffer was asked for');
  }

  /** The bytes [offset, offset + length) of an unfinished segment. */
  async readPartial(name: string, offset: number, length: number): Promise<Buffer> {
    return this.#explain('read', name, async () => {
      const handle = await open(this.#paths.partial(name), 'r');
      try {
        const content = Buffer.alloc(length);
        const { bytesRead } = await handle.read(content, 0, length, offset);
        assert(bytesRead === length, 'the spool holds what it counted');
        return content;
      } finally {
        await handle.close();
      }
    });
  }

  /** Removes a whole segment that is stored, and any unfinished copy of it. */
  async remove(name: string): Promise<void> {
    await this.#explain('remove', name, async () =>
      rm(this.#paths.complete(name), { force: true }),
    );
    this.#complete.delete(name);
    this.#memory.forget(name);
    if (this.#open?.name !== name) await this.removePartial(name);
  }

  async removePartial(name: string): Promise<void> {
    assert(this.#open?.name !== name, 'the open segment stays');
    await this.#explain('remove', name, async () => rm(this.#paths.partial(name), { force: true }));
    this.#partial.delete(name);
  }

  /** Puts a whole segment that is no valid WAL aside, so that it is received again. */
  async setAside(name: string): Promise<string> {
    const path = `${this.#paths.complete(name)}.damaged`;
    await this.#explain('set aside', name, async () => rename(this.#paths.complete(name), path));
    this.#complete.delete(name);
    this.#memory.forget(name);
    return path;
  }

  async #close(): Promise<void> {
    const file = this.#open;
    this.#open = null;
    await file?.handle.close();
    await file?.direct.close();
  }

  async #recover(): Promise<void> {
    const { folder } = this.#paths;
    await this.#explain('open', folder, async () => {
      const made = await mkdir(folder, { recursive: true, mode: 0o700 });
      if (made !== undefined) await syncFolder(dirname(made));
      for (const entry of await readdir(folder)) await this.#adopt(entry);
    });
  }

  async #adopt(entry: string): Promise<void> {
    const name = entry.replace(/\.partial$/, '');
    if (!isSegmentName(name)) return;
    const { size } = await stat(join(this.#paths.folder, entry));
    if (entry !== name)
      this.#partial.set(name, { length: Math.min(size, this.#segmentBytes), durable: 0 });
    else if (size === this.#segmentBytes) this.#complete.add(name);
    else await rm(join(this.#paths.folder, entry));
  }

  async #explain<T>(act: string, name: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (error instanceof WalnutError) throw error;
      const isFull = error instanceof Error && 'code' in error && error.code === 'ENOSPC';
      throw new WalnutError(
        isFull ? 'disk-full' : 'failed',
        `${act} ${name} in the WAL spool ${this.#paths.folder}: ${messageOf(error)}`,
        { hint: 'See spool_directory in the configuration.', cause: error },
      );
    }
  }
}

async function writeParts(
  { handle, written }: OpenFile,
  parts: readonly Uint8Array[],
): Promise<void> {
  let rest = parts.filter((part) => part.length > 0);
  let at = written;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, at);
    at += bytesWritten;
    rest = withoutFirst(rest, bytesWritten);
  }
}

/** Writes parts that lie in the segment's memory in order: where they are aligned as in the file, past the page cache. */
async function writeThrough(
  { handle, direct, memory, written }: OpenFile & { readonly memory: Buffer },
  parts: readonly Uint8Array[],
): Promise<void> {
  let end = written;
  for (const part of parts) {
    const isThere = part.buffer === memory.buffer && part.byteOffset === memory.byteOffset + end;
    assert(isThere, 'WAL of a held segment lies in its memory');
    end += part.length;
  }
  const writeTo = async (begin: number, limit: number): Promise<void> => {
    let at = begin;
    while (at < limit) at += (await handle.write(memory, at, limit - at, at)).bytesWritten;
  };
  const aligned = Math.min(Math.ceil(written / ALIGNMENT_BYTES) * ALIGNMENT_BYTES, end);
  await writeTo(written, aligned);
  const past = await direct.write(memory.subarray(aligned, end), aligned);
  await writeTo(aligned + past, end);
}

/** What is left of `parts` behind their first `count` bytes. */
function withoutFirst(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let index = 0;
  let skip = count;
  for (let part = parts[0]; part !== undefined && skip >= part.length; part = parts[index]) {
    skip -= part.length;
    index += 1;
  }
  return parts.slice(index).map((part, number) => (number === 0 ? part.subarray(skip) : part));
}
