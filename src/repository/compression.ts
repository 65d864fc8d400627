import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ZstdContext } from './zstd-context.ts';

/** Inputs up to this size share one output buffer per thread: frames and blocks are smaller; larger ones are rare. */
const SCRATCH_INPUT_MAX: number = 1024 * 1024;

/** One per thread, like every module. */
const compressors = new Map<number, ZstdContext>();
let decompressor: ZstdContext | null = null;
let scratch: Buffer = Buffer.alloc(0);

/** One zstd frame. */
export function compress(plain: Uint8Array, level: number): Buffer {
  return Buffer.from(compressToScratch(plain, level));
}

/** As {@link compress}, but the result is a view that is valid only until this thread compresses again. */
export function compressToScratch(plain: Uint8Array, level: number): Uint8Array {
  if (plain.length > SCRATCH_INPUT_MAX) return compressOnce(plain, level);
  const bound = compressedBytesMax(plain.length);
  if (scratch.length < bound) scratch = Buffer.allocUnsafeSlow(bound);
  return scratch.subarray(0, compressInto(scratch, plain, level));
}

/** As {@link compress}, into memory of the caller, of which it needs {@link compressedBytesMax}; answers the bytes. */
export function compressInto(target: Uint8Array, plain: Uint8Array, level: number): number {
  const context = plain.length <= SCRATCH_INPUT_MAX ? compressorOf(level) : null;
  const length = context?.run(plain, target) ?? null;
  if (length !== null) return length;
  if (context !== null) {
    compressors.delete(level);
    context.close();
  }
  const compressed = compressOnce(plain, level);
  target.set(compressed);
  return compressed.length;
}

/** Reverses {@link compress}; throws when the result would be larger than `plainBytes`. */
export function decompress(stored: Uint8Array, plainBytes: number): Buffer {
  const plain = Buffer.allocUnsafeSlow(Math.max(plainBytes, 1));
  if (runDecompressor(plain, stored) === plainBytes) return plain.subarray(0, plainBytes);
  return decompressOnce(stored, plainBytes);
}

/** Reverses {@link compress} into the whole of `place`; throws when the result is not of its length. */
export function decompressInto(place: Uint8Array, stored: Uint8Array): Uint8Array {
  if (runDecompressor(place, stored) === place.length) return place;
  const plain = decompressOnce(stored, place.length);
  if (plain.length !== place.length) throw new RangeError('another length than was promised');
  place.set(plain);
  return place;
}

/** Bytes written, or null. A context that met damage is not asked again, and does not judge: a fresh one does. */
function runDecompressor(place: Uint8Array, stored: Uint8Array): number | null {
  decompressor ??= ZstdContext.decompressor();
  if (decompressor === null) return null;
  const length = decompressor.run(stored, place);
  if (length !== place.length) {
    decompressor.close();
    decompressor = null;
  }
  return length;
}

function decompressOnce(stored: Uint8Array, plainBytes: number): Buffer {
  return zstdDecompressSync(stored, {
    chunkSize: Math.max(plainBytes, 64),
    maxOutputLength: Math.max(plainBytes, 64),
  });
}

function compressorOf(level: number): ZstdContext | null {
  const kept = compressors.get(level);
  if (kept !== undefined) return kept;
  const made = ZstdContext.compressor(level);
  if (made !== null) compressors.set(level, made);
  return made;
}

function compressOnce(plain: Uint8Array, level: number): Buffer {
  return zstdCompressSync(plain, {
    chunkSize: compressedBytesMax(plain.length),
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
  });
}

/** `ZSTD_COMPRESSBOUND` (zstd.h), rounded up: with an output this large zstd writes straight into it. */
export function compressedBytesMax(plainBytes: number): number {
  return plainBytes + (plainBytes >>> 8) + 1024;
}
