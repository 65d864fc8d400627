import { Blake3 } from '../lib/hashing.ts';
import type { FileEntry } from '../repository/map-chunk.ts';
import {
  frameSpan,
  openIndexedFrame,
  readPackIndex,
  type PackIndex,
} from '../repository/pack-reader.ts';
import { damaged } from '../repository/object-header.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Small files lie in bundles, neighbours in the map in the same or the next one. */
const FRAMES_HELD = 8;
const INDEXES_HELD = 4;

/** Reads files that are no relations back out of their frames, to compare them with the hash of the whole file. */
export class FileContents {
  readonly #store: ObjectStore;
  readonly #frames = new Map<string, Uint8Array>();
  readonly #indexes = new Map<string, PackIndex>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** Throws what reading a frame throws. */
  async matchesHash(file: FileEntry): Promise<boolean> {
    const hash = new Blake3();
    for (const { pack, frame, position, bytes } of file.extents) {
      const plain = await this.#frame(pack, frame);
      hash.update(plain.subarray(position, position + bytes));
    }
    return hash.digest().equals(file.hash);
  }

  async #frame(pack: string, number: number): Promise<Uint8Array> {
    const make = async (): Promise<Uint8Array> => {
      const { frames } = await this.#index(pack);
      const frame = frames[number];
      if (frame === undefined) throw damaged(pack, `it has no frame ${number}`);
      const stored = Buffer.allocUnsafe(frameSpan(frame));
      const held = stored.subarray(0, await this.#store.read(pack, frame.offset, stored));
      return openIndexedFrame(held, frame.offset, { key: pack, frame });
    };
    return recall(this.#frames, `${pack}#${number}`, { countMax: FRAMES_HELD, make });
  }

  async #index(pack: string): Promise<PackIndex> {
    const make = async (): Promise<PackIndex> => readPackIndex(this.#store, pack, 'without-runs');
    return recall(this.#indexes, pack, { countMax: INDEXES_HELD, make });
  }
}

/** Answers what is held, or makes it; the longest unused goes when too many are held. */
async function recall<T>(
  held: Map<string, T>,
  key: string,
  { countMax, make }: { readonly countMax: number; readonly make: () => Promise<T> },
): Promise<T> {
  const value = held.get(key) ?? (await make());
  held.delete(key);
  held.set(key, value);
  for (const oldest of held.keys()) {
    if (held.size <= countMax) break;
    held.delete(oldest);
  }
  return value;
}
