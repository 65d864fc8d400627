import { lstat, rmdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Stats } from 'node:fs';
import { ByteReader } from '../lib/byte-reader.ts';
import { ByteWriter } from '../lib/byte-writer.ts';
import { syncFolder } from '../lib/durable-file.ts';
import { PathReader, PathWriter } from '../repository/path-coding.ts';
import { changedMeanwhile, fileFailure, systemCodeOf } from './file-failure.ts';

const KINDS = ['file', 'folder', 'link', 'other'] as const;

export type PresentKind = (typeof KINDS)[number];

export type Removal = {
  /** Absolute, without a symbolic link on the way. */
  readonly place: string;
  readonly kind: PresentKind;
  readonly sizeBytes: number;
};

/** What is deleted, name by name, in the order in which it was found. Packed: a name costs some ten bytes. */
export class Removals {
  readonly #packed = new ByteWriter(1024);
  readonly #paths = new PathWriter();
  #count = 0;
  #bytes = 0;

  add({ place, kind, sizeBytes }: Removal): void {
    this.#paths.write(this.#packed, place);
    this.#packed.u8(KINDS.indexOf(kind)).varint(sizeBytes);
    this.#count += 1;
    this.#bytes += sizeBytes;
  }

  /** Names, folders among them. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  *[Symbol.iterator](): Generator<Removal> {
    const reader = new ByteReader(this.#packed.view());
    const paths = new PathReader();
    while (reader.remaining > 0) {
      const place = paths.read(reader);
      const kind = KINDS[reader.u8()] ?? 'other';
      yield { place, kind, sizeBytes: reader.varint() };
    }
  }

  /** Whether something in that folder is deleted. */
  touches(folder: string): boolean {
    for (const { place } of this) if (place.startsWith(`${folder}/`)) return true;
    return false;
  }

  first(countMax: number): Removal[] {
    return [...this[Symbol.iterator]().take(countMax)];
  }
}

/**
 * Deletes what was planned and nothing else: a name behind which something of another kind stands by now stops it, and a
 * folder goes only when it is empty. Durable when it returns.
 */
export async function removePlanned(removals: Removals, signal: AbortSignal): Promise<void> {
  const folders: string[] = [];
  const parents = new Set<string>();
  for (const { place, kind } of removals) {
    signal.throwIfAborted();
    parents.add(dirname(place));
    if (kind === 'folder') folders.push(place);
    else await remove(place, kind);
  }
  for (const place of folders.toReversed()) {
    await remove(place, 'folder');
    parents.delete(place);
  }
  for (const parent of parents) await syncFolder(parent);
}

async function remove(place: string, kind: PresentKind): Promise<void> {
  try {
    if (kindOf(await lstat(place)) !== kind) throw changedMeanwhile(place);
    await (kind === 'folder' ? rmdir(place) : unlink(place));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    if (systemCodeOf(error) === 'ENOTEMPTY') throw changedMeanwhile(place);
    throw fileFailure(error, `delete ${place}`);
  }
}

export function kindOf(info: Stats): PresentKind {
  if (info.isFile()) return 'file';
  if (info.isDirectory()) return 'folder';
  return info.isSymbolicLink() ? 'link' : 'other';
}
