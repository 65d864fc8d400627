/** Moves live frames into new packs. What is wholly live moves as it is stored; of the rest the live parts are bundled. */
import { assert } from '../lib/assert.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { FRAME_BYTES, PAGE_BYTES } from '../repository/frame.ts';
import { backupKeys } from '../repository/layout.ts';
import type { FrameRun, IndexedFrame } from '../repository/pack-index.ts';
import { PackWriter, type FinishedPack } from '../repository/pack-writer.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Stretch } from './live-frames.ts';

/** Where a stretch of an old frame lies now. */
export type Moved = Stretch & {
  readonly pack: string;
  readonly frame: number;
  /** Of the stretch's begin, in the new frame. */
  readonly at: number;
};

export type MovedFrames = ReadonlyMap<string, ReadonlyMap<number, readonly Moved[]>>;

export type FrameMoverOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  /** In whose folder the new packs lie. */
  readonly id: BackupId;
  /** The first number that no pack of it has. */
  readonly firstNumber: number;
  readonly level: number;
};

/** A frame that was read and checked. */
export type ReadFrame = {
  readonly pack: string;
  readonly frame: IndexedFrame;
  /** Header and content as stored. */
  readonly stored: Uint8Array;
  readonly plain: Uint8Array;
  readonly live: readonly Stretch[];
};

type Piece = Stretch & {
  readonly pack: string;
  readonly frame: number;
  readonly bytes: Uint8Array;
  readonly runs: readonly FrameRun[];
  readonly hashes: Uint8Array;
};

export class FrameMover {
  readonly #options: FrameMoverOptions;
  readonly #moved = new Map<string, Map<number, Moved[]>>();
  readonly #finished: FinishedPack[] = [];
  #pack: PackWriter | null = null;
  #number: number;
  #pages: Piece[] = [];
  #bytes: Piece[] = [];
  #gathered = 0;

  constructor(options: FrameMoverOptions) {
    this.#options = options;
    this.#number = options.firstNumber;
  }

  get moved(): MovedFrames {
    return this.#moved;
  }

  /** A pack of which nothing is live moves too, to nowhere. */
  begin(pack: string): void {
    this.#moved.set(pack, new Map());
  }

  async add(read: ReadFrame): Promise<void> {
    const { frame, live, plain } = read;
    const [only] = live;
    if (live.length === 1 && only?.begin === 0 && only.end === plain.length) {
      const pack = await this.#writable();
      const number = await pack.addStored(read.stored, frame);
      this.#note(read.pack, frame.number, { ...only, pack: pack.key, frame: number, at: 0 });
      return;
    }
    const pagesEnd = frame.pageCount * PAGE_BYTES;
    for (const stretch of live) await this.#gather(read, stretch, pagesEnd);
  }

  /** Makes everything durable and names the new packs. */
  async finish(): Promise<readonly FinishedPack[]> {
    await this.#flush();
    await this.#close();
    return this.#finished;
  }

  async abort(): Promise<void> {
    await this.#pack?.abort();
    this.#pack = null;
  }

  /** Pages stand before bytes in a frame, and a stretch may hold the end of the ones and the beginning of the others. */
  async #gather(read: ReadFrame, { begin, end }: Stretch, pagesEnd: number): Promise<void> {
    if (begin < pagesEnd) {
      this.#pages.push(cut(read, { begin, end: Math.min(end, pagesEnd) }, 'pages'));
    }
    if (end > pagesEnd) {
      this.#bytes.push(cut(read, { begin: Math.max(begin, pagesEnd), end }, 'bytes'));
    }
    this.#gathered += end - begin;
    if (this.#gathered >= FRAME_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    const pieces = [...this.#pages, ...this.#bytes];
    if (pieces.length === 0) return;
    const pack = await this.#writable();
    const frame = await pack.add({
      plain: Buffer.concat(pieces.map(({ bytes }) => bytes)),
      pageCount: this.#pages.reduce((sum, { bytes }) => sum + bytes.length, 0) / PAGE_BYTES,
      runs: pieces.flatMap(({ runs }) => runs),
      pageHashes: Buffer.concat(this.#pages.map(({ hashes }) => hashes)),
    });
    let at = 0;
    for (const piece of pieces) {
      const { begin, end } = piece;
      this.#note(piece.pack, piece.frame, { begin, end, pack: pack.key, frame, at });
      at += piece.bytes.length;
    }
    this.#pages = [];
    this.#bytes = [];
    this.#gathered = 0;
  }

  async #writable(): Promise<PackWriter> {
    if (this.#pack?.isFull === true) await this.#close();
    const { store, server, id, level } = this.#options;
    if (this.#pack === null) {
      const key = backupKeys.pack(server, id, this.#number);
      this.#number += 1;
      this.#pack = await PackWriter.begin(store, key, level);
    }
    return this.#pack;
  }

  async #close(): Promise<void> {
    if (this.#pack === null) return;
    const pack = this.#pack;
    this.#pack = null;
    this.#finished.push(await pack.finish());
  }

  #note(pack: string, frame: number, moved: Moved): void {
    const frames = this.#moved.get(pack) ?? new Map<number, Moved[]>();
    this.#moved.set(pack, frames);
    frames.set(frame, [...(frames.get(frame) ?? []), moved]);
  }
}

/** A copy of the stretch, because the frame's memory is used again. */
function cut(read: ReadFrame, { begin, end }: Stretch, kind: FrameRun['kind']): Piece {
  const { pack, frame, plain } = read;
  const bytes = Buffer.from(plain.subarray(begin, end));
  const unit = kind === 'pages' ? PAGE_BYTES : 1;
  const runs: FrameRun[] = [];
  let at = kind === 'pages' ? 0 : frame.pageCount * PAGE_BYTES;
  for (const run of frame.runs.filter((each) => each.kind === kind)) {
    const from = Math.max(begin, at);
    const to = Math.min(end, at + run.length * unit);
    if (from < to) {
      runs.push({ ...run, from: run.from + (from - at) / unit, length: (to - from) / unit });
    }
    at += run.length * unit;
  }
  const covered = runs.reduce((sum, { length }) => sum + length * unit, 0);
  assert(covered === end - begin, `the index of ${pack} tells all of frame ${frame.number}`);
  const hashes =
    kind === 'pages'
      ? Buffer.from(frame.pageHashes.subarray((begin / PAGE_BYTES) * 8, (end / PAGE_BYTES) * 8))
      : Buffer.alloc(0);
  return { pack, frame: frame.number, begin, end, bytes, runs, hashes };
}
