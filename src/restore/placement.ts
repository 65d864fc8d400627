import { ByteReader } from '../lib/byte-reader.ts';
import { ByteWriter } from '../lib/byte-writer.ts';
import { BLAKE3_BYTES } from '../lib/hashing.ts';
import { PathReader, PathWriter } from '../repository/path-coding.ts';

/** A stretch of a frame and the place in a file where it goes. */
export type Placement = {
  readonly path: string;
  /** Size of the whole file, to which it is made before the first write. */
  readonly fileBytes: number;
  /** Key of the pack that holds the frame, or {@link ZERO_PAGES}. */
  readonly pack: string;
  readonly frame: number;
  /** Byte offset in the frame's plain content. */
  readonly frameOffset: number;
  readonly fileOffset: number;
  readonly bytes: number;
  /** BLAKE3 of the file when this stretch is all of it; null for relations and for parts. */
  readonly hash: Uint8Array | null;
  /** Whether the place may hold this content already, and is looked at first; false where nothing stood before. */
  readonly compare: boolean;
};

/** Where a stretch of bytes goes. */
export type FileStretch = Pick<Placement, 'path' | 'fileBytes' | 'fileOffset'>;

/** In the place of a pack: pages that no extent covers, which are zero. */
export const ZERO_PAGES = '';

const HAS_HASH = 1;
const COMPARE = 2;

/** Placements as bytes, which pass from thread to thread without being cloned one by one. */
export class PlacementWriter {
  readonly #into = new ByteWriter(4096);
  readonly #paths = new PathWriter();
  readonly #packs = new PathWriter();

  get bytes(): number {
    return this.#into.length;
  }

  add(placement: Placement): void {
    const into = this.#into;
    this.#paths.write(into, placement.path);
    this.#packs.write(into, placement.pack);
    into.varint(placement.fileBytes).varint(placement.frame).varint(placement.frameOffset);
    into.varint(placement.fileOffset).varint(placement.bytes);
    into.u8((placement.hash === null ? 0 : HAS_HASH) | (placement.compare ? COMPARE : 0));
    if (placement.hash !== null) into.put(placement.hash);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#into.view());
  }
}

/** Reverses {@link PlacementWriter}. */
export function readPlacements(bytes: Uint8Array): Placement[] {
  const reader = new ByteReader(bytes);
  const paths = new PathReader();
  const packs = new PathReader();
  const placements: Placement[] = [];
  while (reader.remaining > 0) {
    const place = {
      path: paths.read(reader),
      pack: packs.read(reader),
      fileBytes: reader.varint(),
      frame: reader.varint(),
      frameOffset: reader.varint(),
      fileOffset: reader.varint(),
      bytes: reader.varint(),
    };
    const flags = reader.u8();
    const hash = (flags & HAS_HASH) === 0 ? null : Uint8Array.from(reader.take(BLAKE3_BYTES));
    placements.push({ ...place, hash, compare: (flags & COMPARE) !== 0 });
  }
  return placements;
}
