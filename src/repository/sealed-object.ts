/** Objects that are written whole: header, optional annex, and the payload in blocks (docs/repository-format.md). */
import { blake3, BLAKE3_BYTES } from '../lib/hashing.ts';
import { hasCode } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { blockBytesMax, openBlocks, writeBlocks } from './blocks.ts';
import { compress, decompress } from './compression.ts';
import {
  damaged,
  decodeObjectHeader,
  encodeObjectHeader,
  OBJECT_HEADER_BYTES,
  type ObjectHeader,
  type ObjectKind,
} from './object-header.ts';

const ANNEX_HEADER_BYTES: number = BLAKE3_BYTES + 4;
/** Set in the plain length of an annex's first part when its stored length and a second part follow. */
const ANNEX_GOES_ON = 0x8000_0000;

export type NewSealedObject = {
  readonly kind: ObjectKind;
  readonly plain: Uint8Array;
  /** Facts about the payload that can be read without it. */
  readonly annex?: Uint8Array;
  /** More of them, for which the first part need not be opened; only with an annex. */
  readonly secondAnnex?: Uint8Array;
  readonly level: number;
  /** Memory for the stored form, the caller's again when it is stored; new memory is taken where this is too short. */
  readonly into?: Uint8Array | undefined;
};

export type SealedObject = {
  readonly header: ObjectHeader;
  readonly plain: Buffer;
};

/** The stored form of an object. */
export function sealObject(object: NewSealedObject): Buffer {
  const steps = sealSteps(object);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** As {@link sealObject}, with a pause after each block, in which the thread can do what else waits. */
export async function sealObjectWithPauses(
  object: NewSealedObject,
  pause: () => Promise<void>,
): Promise<Buffer> {
  const steps = sealSteps(object);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await pause();
  }
}

function* sealSteps(object: NewSealedObject): Generator<undefined, Buffer> {
  const annex = sealAnnexes(object);
  const header = encodeObjectHeader({
    kind: object.kind,
    codec: 'zstd',
    plainBytes: object.plain.length,
    plainHash: blake3(object.plain),
    annexBytes: annex.length,
  });
  const start = header.length + annex.length;
  const stored = memoryFor(start + blockBytesMax(object.plain.length), object.into);
  stored.set(header);
  stored.set(annex, header.length);
  const { plain, level } = object;
  return stored.subarray(0, yield* writeBlocks(plain, { stored, begin: start, level }));
}

/**
 * Checks and opens a stored object. Throws `object-damaged` naming `key`. An annex is checked by who reads it: it says
 * nothing that its object does not say too.
 */
export function openObject(stored: Uint8Array, kind: ObjectKind, key: string): SealedObject {
  const header = decodeObjectHeader(stored, key);
  if (header.kind !== kind) throw damaged(key, `it is a ${header.kind}, not a ${kind}`);
  const { buffer, byteOffset, length } = stored.subarray(header.payloadOffset);
  const plain = openBlocks(Buffer.from(buffer, byteOffset, length), header.plainBytes, key);
  if (!blake3(plain).equals(header.plainHash))
    throw damaged(key, 'the hash of its content does not match');
  return { header, plain };
}

/** The annex of a stored object, from as many of its first bytes as {@link annexEnd} says; empty when it has none. */
export function openAnnex(stored: Uint8Array, header: ObjectHeader, key: string): Buffer {
  if (header.annexBytes === 0) return Buffer.alloc(0);
  return openPart(stored, annexPart({ stored, header, key }, OBJECT_HEADER_BYTES), key);
}

/** The second part of the annex, from the object's first `payloadOffset` bytes or more; empty when it has none. */
export function openSecondAnnex(stored: Uint8Array, header: ObjectHeader, key: string): Buffer {
  if (header.annexBytes === 0) return Buffer.alloc(0);
  const object = { stored, header, key };
  const { end } = annexPart(object, OBJECT_HEADER_BYTES);
  if (end === header.payloadOffset) return Buffer.alloc(0);
  const second = annexPart(object, end);
  if (second.end !== header.payloadOffset) throw damaged(key, 'its annex has an unknown part');
  return openPart(stored, second, key);
}

/** How many of an object's first bytes the first part of its annex needs, as far as these first bytes tell it. */
export function annexEnd(stored: Uint8Array, header: ObjectHeader, key: string): number {
  if (header.annexBytes === 0) return OBJECT_HEADER_BYTES;
  return annexPart({ stored, header, key }, OBJECT_HEADER_BYTES).end;
}

/**
 * Stores an object unless the same content is there already. Answers `stored` or `present`; content that differs from
 * what is stored under the key fails with `object-exists` and leaves the stored object untouched.
 */
export async function putSealed(
  store: ObjectStore,
  key: string,
  object: NewSealedObject,
): Promise<'stored' | 'present'> {
  return putAsSealed(store, key, { plain: object.plain, stored: sealObject(object) });
}

/** As {@link putSealed}, for who has sealed the object. */
export async function putAsSealed(
  store: ObjectStore,
  key: string,
  { plain, stored }: { readonly plain: Uint8Array; readonly stored: Uint8Array },
): Promise<'stored' | 'present'> {
  try {
    await store.put(key, stored);
    return 'stored';
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
    const present = await readHeader(store, key);
    const same = present.plainBytes === plain.length && blake3(plain).equals(present.plainHash);
    if (!same) throw error;
    return 'present';
  }
}

export async function readHeader(store: ObjectStore, key: string): Promise<ObjectHeader> {
  const bytes = Buffer.alloc(OBJECT_HEADER_BYTES);
  const length = await store.read(key, 0, bytes);
  return decodeObjectHeader(bytes.subarray(0, length), key);
}

/** Memory for the largest result is asked for and not touched; joining blocks would touch all of it twice. */
function memoryFor(bytes: number, given: Uint8Array | undefined): Buffer {
  if (given === undefined || given.length < bytes) return Buffer.allocUnsafeSlow(bytes);
  return Buffer.from(given.buffer, given.byteOffset, bytes);
}

function sealAnnexes({ annex, secondAnnex, level }: NewSealedObject): Buffer {
  if (annex === undefined) return Buffer.alloc(0);
  const first = sealAnnex(annex, level);
  if (secondAnnex === undefined) return Buffer.concat([first.lead, first.compressed]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(first.compressed.length);
  first.lead.writeUInt32LE((annex.length | ANNEX_GOES_ON) >>> 0, BLAKE3_BYTES);
  const second = sealAnnex(secondAnnex, level);
  return Buffer.concat([first.lead, length, first.compressed, second.lead, second.compressed]);
}

function sealAnnex(annex: Uint8Array, level: number): { lead: Buffer; compressed: Buffer } {
  const lead = Buffer.alloc(ANNEX_HEADER_BYTES);
  const compressed = compress(annex, level);
  blake3(compressed).copy(lead, 0);
  lead.writeUInt32LE(annex.length, BLAKE3_BYTES);
  return { lead, compressed };
}

type AnnexPart = {
  readonly hash: Uint8Array;
  readonly plainBytes: number;
  /** Where its stored bytes lie in the object. */
  readonly begin: number;
  readonly end: number;
};

type ObjectStart = {
  readonly stored: Uint8Array;
  readonly header: ObjectHeader;
  readonly key: string;
};

function annexPart({ stored, header, key }: ObjectStart, at: number): AnnexPart {
  const view = Buffer.from(stored.buffer, stored.byteOffset, stored.length);
  const limit = Math.min(header.payloadOffset, view.length);
  if (at + ANNEX_HEADER_BYTES > limit) throw damaged(key, 'its annex is cut');
  const hash = view.subarray(at, at + BLAKE3_BYTES);
  const length = view.readUInt32LE(at + BLAKE3_BYTES);
  const begin = at + ANNEX_HEADER_BYTES;
  const plainBytes = length % ANNEX_GOES_ON;
  if (length < ANNEX_GOES_ON) return { hash, plainBytes, begin, end: header.payloadOffset };
  if (begin + 4 > limit) throw damaged(key, 'its annex is cut');
  const end = begin + 4 + view.readUInt32LE(begin);
  if (end >= header.payloadOffset) throw damaged(key, 'its annex is cut');
  return { hash, plainBytes, begin: begin + 4, end };
}

function openPart(stored: Uint8Array, part: AnnexPart, key: string): Buffer {
  if (stored.length < part.end) throw damaged(key, 'its annex is cut');
  const compressed = stored.subarray(part.begin, part.end);
  if (!blake3(compressed).equals(part.hash)) {
    throw damaged(key, 'the hash of its annex does not match');
  }
  return inflate(compressed, part.plainBytes, key);
}

function inflate(stored: Uint8Array, plainBytes: number, key: string): Buffer {
  let plain: Buffer;
  try {
    plain = decompress(stored, plainBytes);
  } catch (error) {
    throw damaged(key, 'a part of it does not decompress', error);
  }
  if (plain.length !== plainBytes) throw damaged(key, 'a part of it has the wrong length');
  return plain;
}
