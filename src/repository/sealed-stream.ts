import { Blake3 } from '../lib/hashing.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { BLOCK_BYTES, cutBlock, openBlock } from './blocks.ts';
import {
  damaged,
  decodeObjectHeader,
  OBJECT_HEADER_BYTES,
  type ObjectHeader,
  type ObjectKind,
} from './object-header.ts';
import { openAnnex, openSecondAnnex } from './sealed-object.ts';

/** One read; holds at least two whole blocks, so memory does not grow with the object. */
const WINDOW_BYTES: number = 4 * 1024 * 1024;

export type StreamedObject = {
  readonly header: ObjectHeader;
  readonly annex: Buffer;
  readonly secondAnnex: Buffer;
};

export type StreamRequest = {
  readonly key: string;
  readonly kind: ObjectKind;
  /** Gets the plain content part by part, before its hash is known to be right; a part is valid during the call only. */
  readonly onPlain?: (part: Uint8Array) => void;
};

/**
 * Reads a whole object in parts and checks header, annex, every block and the hash of the content. For objects that may
 * be too large to hold: a WAL segment has up to 1 GB. Throws `object-damaged` or `object-missing`.
 */
export async function streamSealedObject(
  store: ObjectStore,
  { key, kind, onPlain }: StreamRequest,
): Promise<StreamedObject> {
  const window = new Window(store, key);
  await window.fill();
  const header = decodeObjectHeader(window.bytes, key);
  if (header.kind !== kind) throw damaged(key, `it is a ${header.kind}, not a ${kind}`);
  const head = await headOf(store, { key, header, first: window.bytes });
  const annex = openAnnex(head, header, key);
  const secondAnnex = openSecondAnnex(head, header, key);
  window.pass(header.payloadOffset);
  const hash = new Blake3();
  let plainBytes = 0;
  for await (const block of readBlocks(window, key, header.plainBytes)) {
    plainBytes += block.length;
    if (plainBytes > header.plainBytes) break;
    hash.update(block);
    onPlain?.(block);
  }
  if (plainBytes !== header.plainBytes) {
    throw damaged(key, `it does not hold its ${header.plainBytes} bytes`);
  }
  if (!hash.digest().equals(header.plainHash)) {
    throw damaged(key, 'the hash of its content does not match');
  }
  return { header, annex, secondAnnex };
}

type ObjectStart = {
  readonly key: string;
  readonly header: ObjectHeader;
  readonly first: Buffer;
};

/** Header and annex; nearly always they are among the first bytes. */
async function headOf(store: ObjectStore, { key, header, first }: ObjectStart): Promise<Buffer> {
  const { payloadOffset, annexBytes } = header;
  if (payloadOffset !== OBJECT_HEADER_BYTES + annexBytes) {
    throw damaged(key, 'its header contradicts itself');
  }
  if (payloadOffset <= first.length) return first.subarray(0, payloadOffset);
  const head = Buffer.alloc(payloadOffset);
  return head.subarray(0, await store.read(key, 0, head));
}

/** What was read of an object and is not used yet. */
class Window {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #memory = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  /** Where in the memory begins and ends what is held. */
  #begin = 0;
  #end = 0;
  /** Where in the object to go on. */
  #offset = 0;
  #isAtEnd = false;

  constructor(store: ObjectStore, key: string) {
    this.#store = store;
    this.#key = key;
  }

  /** A view that is valid until the next {@link fill}. */
  get bytes(): Buffer {
    return this.#memory.subarray(this.#begin, this.#end);
  }

  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  /** Reads as much more as there is room for. */
  async fill(): Promise<void> {
    this.#memory.copy(this.#memory, 0, this.#begin, this.#end);
    this.#end -= this.#begin;
    this.#begin = 0;
    const room = this.#memory.subarray(this.#end);
    const count = await this.#store.read(this.#key, this.#offset, room);
    this.#offset += count;
    this.#end += count;
    this.#isAtEnd = count < room.length;
  }

  /** Lets go so many bytes, which may be more than are held. */
  pass(count: number): void {
    const held = this.#end - this.#begin;
    this.#begin += Math.min(count, held);
    this.#offset += Math.max(0, count - held);
    if (count > held) this.#isAtEnd = false;
  }
}

async function* readBlocks(
  window: Window,
  key: string,
  plainBytes: number,
): AsyncGenerator<Uint8Array> {
  const place = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, plainBytes));
  for (;;) {
    const block = cutBlock(window.bytes, key);
    if (block !== null) {
      yield openBlock(block, place, key);
      window.pass(block.spanBytes);
      continue;
    }
    if (window.isAtEnd) break;
    await window.fill();
  }
  if (window.bytes.length > 0) throw damaged(key, 'its last block is cut');
}
