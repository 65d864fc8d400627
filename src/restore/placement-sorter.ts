import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { rmSync } from 'node:fs';
import { ByteWriter } from '../lib/byte-writer.ts';
import { assert } from '../lib/assert.ts';
import { FRAME_BYTES } from '../repository/frame.ts';
import { PathWriter } from '../repository/path-coding.ts';
import { writePlacement, type Placement } from './placement.ts';

/** All placements out of one range of frames of one pack: what a worker does at a time. */
export type PlaceTask = {
  readonly pack: string;
  /** A stream of placements, read by `readPlacements`. */
  readonly placements: Uint8Array<ArrayBuffer>;
};

/** Frames per task: 32 MB of plain content, so that handing out costs nothing and the last tasks still spread evenly. */
const TASK_FRAMES: number = (32 * 1024 * 1024) / FRAME_BYTES;
/** Placements held in memory, in bytes; what is more goes to the spill file. */
const MEMORY_BYTES_MAX: number = 32 * 1024 * 1024;

type Partition = {
  readonly pack: string;
  readonly range: number;
  readonly paths: PathWriter;
  encoded: ByteWriter;
  readonly spilled: { readonly offset: number; readonly length: number }[];
};

export type PlacementSorterOptions = {
  /** A file that is made when memory does not suffice, and removed by `close`. */
  readonly spillPath: string;
  readonly memoryBytesMax?: number;
};

/**
 * Turns placements in the order of their files into tasks in the order of packs and frames, so that every frame is read
 * once however many files it serves. Memory is bounded; beyond it the encoded placements lie in a spill file.
 */
export class PlacementSorter {
  readonly #options: PlacementSorterOptions;
  readonly #packs = new Map<string, Map<number, Partition>>();
  #memoryBytes = 0;
  #spill: number | null = null;
  #spillBytes = 0;

  constructor(options: PlacementSorterOptions) {
    this.#options = options;
  }

  add(pack: string, placement: Placement): void {
    const partition = this.#partition(pack, Math.floor(placement.frame / TASK_FRAMES));
    const before = partition.encoded.length;
    writePlacement(partition.encoded, partition.paths, placement);
    this.#memoryBytes += partition.encoded.length - before;
    if (this.#memoryBytes > (this.#options.memoryBytesMax ?? MEMORY_BYTES_MAX)) this.#spillAll();
  }

  /** The tasks in order of pack and frame; call it when all placements were added. */
  *tasks(): Generator<PlaceTask> {
    for (const pack of [...this.#packs.keys()].toSorted()) {
      const ranges = this.#packs.get(pack) ?? new Map<number, Partition>();
      for (const range of [...ranges.keys()].toSorted((first, second) => first - second)) {
        const partition = ranges.get(range);
        if (partition !== undefined) yield { pack, placements: this.#read(partition) };
        ranges.delete(range);
      }
      this.#packs.delete(pack);
    }
  }

  close(): void {
    if (this.#spill === null) return;
    closeSync(this.#spill);
    this.#spill = null;
    rmSync(this.#options.spillPath, { force: true });
  }

  #partition(pack: string, range: number): Partition {
    let ranges = this.#packs.get(pack);
    if (ranges === undefined) {
      ranges = new Map();
      this.#packs.set(pack, ranges);
    }
    let partition = ranges.get(range);
    if (partition === undefined) {
      partition = { pack, range, paths: new PathWriter(), encoded: newPart(), spilled: [] };
      ranges.set(range, partition);
    }
    return partition;
  }

  #spillAll(): void {
    this.#spill ??= openSync(this.#options.spillPath, 'wx+', 0o600);
    for (const ranges of this.#packs.values()) {
      for (const partition of ranges.values()) {
        if (partition.encoded.length === 0) continue;
        const bytes = partition.encoded.view();
        writeFully(this.#spill, bytes, this.#spillBytes);
        partition.spilled.push({ offset: this.#spillBytes, length: bytes.length });
        this.#spillBytes += bytes.length;
        partition.encoded = newPart();
      }
    }
    this.#memoryBytes = 0;
  }

  #read(partition: Partition): Uint8Array<ArrayBuffer> {
    const spilledBytes = partition.spilled.reduce((sum, { length }) => sum + length, 0);
    const bytes = new Uint8Array(spilledBytes + partition.encoded.length);
    let at = 0;
    for (const { offset, length } of partition.spilled) {
      assert(this.#spill !== null, 'a spilled partition has a spill file');
      const count = readSync(this.#spill, bytes, at, length, offset);
      assert(count === length, 'the spill file holds what was written');
      at += length;
    }
    bytes.set(partition.encoded.view(), at);
    return bytes;
  }
}

function newPart(): ByteWriter {
  return new ByteWriter(256);
}

function writeFully(descriptor: number, bytes: Uint8Array, position: number): void {
  let written = 0;
  while (written < bytes.length) {
    written += writeSync(descriptor, bytes, written, bytes.length - written, position + written);
  }
}
