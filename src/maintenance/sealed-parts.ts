import { Blake3, crc32c } from '../lib/hashing.ts';
import { decompress } from '../repository/compression.ts';
import {
  damaged,
  decodeObjectHeader,
  OBJECT_HEADER_BYTES,
  type ObjectHeader,
  type ObjectKind,
} from '../repository/object-header.ts';
import { BLOCK_BYTES, openAnnex, openSecondAnnex } from '../repository/sealed-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** u32 stored length, u32 plain length, u32 CRC-32C (docs/repository-format.md, "Blocks"). */
const BLOCK_HEADER_BYTES = 12;
/** One read; holds at least two whole blocks, so memory does not grow with the object. */
const WINDOW_BYTES: number = 4 * 1024 * 1024;

export type CheckedObject = {
  readonly header: ObjectHeader;
  readonly annex: Buffer;
  readonly secondAnnex: Buffer;
};

export type SealedObjectRequest = {
  readonly key: string;
  readonly kind: ObjectKind;
  /** Gets the plain content part by part, before its hash is known to be right. */
  readonly onPlain?: (part: Uint8Array) => void;
};

/**
 * Reads a whole object in parts and checks header, annex, every block and the hash of the content. For objects that may
 * be too large to hold: a WAL segment has up to 1 GB. Throws `object-damaged` or `object-missing`.
 */
export async function checkSealedObject(
  store: ObjectStore,
  { key, kind, onPlain }: SealedObjectRequest,
): Promise<CheckedObject> {
  const first = Buffer.alloc(OBJECT_HEADER_BYTES);
  const header = decodeObjectHeader(first.subarray(0, await store.read(key, 0, first)), key);
  if (header.kind !== kind) throw damaged(key, `it is a ${header.kind}, not a ${kind}`);
  const head = Buffer.alloc(OBJECT_HEADER_BYTES + header.annexBytes);
  if (header.payloadOffset !== head.length) throw damaged(key, 'its header contradicts itself');
  const start = head.subarray(0, await store.read(key, 0, head));
  const annex = openAnnex(start, header, key);
  const secondAnnex = openSecondAnnex(start, header, key);
  const hash = new Blake3();
  let plainBytes = 0;
  for await (const block of readBlocks(store, key, header.payloadOffset)) {
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

async function* readBlocks(
  store: ObjectStore,
  key: string,
  from: number,
): AsyncGenerator<Uint8Array> {
  const window = Buffer.allocUnsafe(WINDOW_BYTES);
  let held = 0;
  let offset = from;
  for (;;) {
    const read = await store.read(key, offset, window.subarray(held));
    offset += read;
    held += read;
    let at = 0;
    for (;;) {
      const block = cutBlock(window.subarray(at, held), key);
      if (block === null) break;
      yield inflate(block, key);
      at += BLOCK_HEADER_BYTES + block.stored.length;
    }
    window.copy(window, 0, at, held);
    held -= at;
    if (read === 0) break;
  }
  if (held > 0) throw damaged(key, 'its last block is cut');
}

type Block = { readonly stored: Buffer; readonly plainBytes: number };

/** The block at the beginning of `bytes`, or null when it is not all there. */
function cutBlock(bytes: Buffer, key: string): Block | null {
  if (bytes.length < BLOCK_HEADER_BYTES) return null;
  const storedBytes = bytes.readUInt32LE(0);
  const plainBytes = bytes.readUInt32LE(4);
  if (storedBytes > plainBytes || plainBytes > BLOCK_BYTES || storedBytes === 0) {
    throw damaged(key, 'a block of it has an impossible length');
  }
  const end = BLOCK_HEADER_BYTES + storedBytes;
  if (bytes.length < end) return null;
  const stored = bytes.subarray(BLOCK_HEADER_BYTES, end);
  if (crc32c(stored) !== bytes.readUInt32LE(8)) {
    throw damaged(key, 'the checksum of a block does not match');
  }
  return { stored, plainBytes };
}

function inflate({ stored, plainBytes }: Block, key: string): Uint8Array {
  if (stored.length === plainBytes) return stored;
  let plain: Buffer;
  try {
    plain = decompress(stored, plainBytes);
  } catch (error) {
    throw damaged(key, 'a block of it does not decompress', error);
  }
  if (plain.length !== plainBytes) throw damaged(key, 'a block of it has the wrong length');
  return plain;
}
