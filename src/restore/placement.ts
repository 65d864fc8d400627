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
  /** Numbers of packs: those of a chain take turns from one placement to the next. */
  readonly #packs = new Map<string, number>();

  get bytes(): number {
    return this.#into.length;
  }

  add(placement: Placement): void {
    const into = this.#into;
    this.#paths.write(into, placement.path);
    this.#pack(placement.pack);
    into.varint(placement.fileBytes).varint(placement.frame).varint(placement.frameOffset);
    into.varint(placement.fileOffset).varint(placement.bytes);
    into.u8((placement.hash === null ? 0 : HAS_HASH) | (placement.compare ? COMPARE : 0));
    if (placement.hash !== null) into.put(placement.hash);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#into.view());
  }

  /** The number of a pack; a new one is followed by its key. */
  #pack(key: string): void {
    const known = this.#packs.get(key);
    this.#into.varint(known ?? this.#packs.size);
    if (known !== undefined) return;
    this.#packs.set(key, this.#packs.size);
    const bytes = Buffer.from(key);
    this.#into.varint(bytes.length).put(bytes);
  }
}

/** Reverses {@link PlacementWriter}. */
export function readPlacements(bytes: Uint8Array): Placement[] {
  const reader = new ByteReader(bytes);
  const paths = new PathReader();
  const packs: string[] = [];
  const placements: Placement[] = [];
  while (reader.remaining > 0) placements.push(readPlacement(reader, paths, packs));
  return placements;
}

function readPlacement(reader: ByteReader, paths: PathReader, packs: string[]): Placement {
  const path = paths.read(reader);
  const pack = readPack(reader, packs);
  const fileBytes = reader.varint();
  const frame = reader.varint();
  const frameOffset = reader.varint();
  const fileOffset = reader.varint();
  const bytes = reader.varint();
  const flags = reader.u8();
  const hash = (flags & HAS_HASH) === 0 ? null : Uint8Array.from(reader.take(BLAKE3_BYTES));
  const compare = (flags & COMPARE) !== 0;
  return { path, fileBytes, pack, frame, frameOffset, fileOffset, bytes, hash, compare };
}

function readPack(reader: ByteReader, packs: string[]): string {
  const number = reader.varint();
  const known = packs[number];
  if (known !== undefined) return known;
  const key = Buffer.from(reader.take(reader.varint())).toString();
  packs.push(key);
  return key;
}
