import { randomBytes } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { compress, compressToScratch, decompress } from './compression.ts';
import { ZstdContext } from './zstd-context.ts';

const TEXT = Buffer.from('the quick brown fox jumps over the lazy dog '.repeat(6000));

afterEach(() => {
  vi.restoreAllMocks();
});

describe('compression', () => {
  test.each([0, 1, 63, 64, 8192, 262_144, 1_048_576, 1_048_577])(
    '%i bytes, random or not, survive, whatever was compressed before',
    (length) => {
      for (const plain of [randomBytes(length), Buffer.alloc(length, TEXT)]) {
        const stored = compress(plain, 1);
        expect(zstdDecompressSync(stored).equals(plain)).toBe(true);
        expect(decompress(stored, plain.length).equals(plain)).toBe(true);
      }
    },
  );

  test('every level makes one whole frame each time, with the content size in its header', () => {
    for (const level of [1, 3, 9, 19]) {
      const [first, second] = [compress(TEXT, level), compress(TEXT, level)];
      expect(first).toEqual(second);
      // Frame_Header_Descriptor: a content size field of 4 bytes (RFC 8878, 3.1.1.1.1).
      expect(first.readUInt8(4) >> 6).toBe(2);
      expect(zstdDecompressSync(first)).toEqual(TEXT);
    }
  });

  test('a scratch result lives until the next one, a normal result for ever', () => {
    const kept = compress(TEXT, 1);
    const before = Buffer.from(kept);
    const view = compressToScratch(TEXT, 1);
    expect(Buffer.compare(view, kept)).toBe(0);
    compressToScratch(randomBytes(TEXT.length), 1);
    expect(kept).toEqual(before);
    expect(Buffer.compare(view, kept)).not.toBe(0);
  });
});

describe('decompression', () => {
  // A flip or cut may leave the content as it was: the checksum of the stored bytes finds those.
  test('whatever a damaged or cut frame did, the next good one is read right', () => {
    const stored = compress(TEXT, 1);
    let errors = 0;
    for (let at = 4; at < stored.length; at += 7) {
      const flipped = Buffer.from(stored);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x10, at);
      for (const broken of [flipped, stored.subarray(0, at)]) {
        if (fails(() => decompress(broken, TEXT.length))) errors += 1;
        expect(decompress(stored, TEXT.length).equals(TEXT)).toBe(true);
      }
    }
    expect(errors).toBeGreaterThan(10);
  });

  test('more bytes than expected are refused, not cut', () => {
    expect(() => decompress(compress(TEXT, 1), TEXT.length - 1)).toThrow(/larger than/);
    expect(decompress(compress(TEXT, 1), TEXT.length)).toEqual(TEXT);
  });

  test('several frames in one input are read as one', () => {
    const stored = Buffer.concat([zstdCompressSync(TEXT), zstdCompressSync(TEXT)]);
    expect(decompress(stored, 2 * TEXT.length)).toEqual(Buffer.concat([TEXT, TEXT]));
  });
});

describe('a Node whose streams look otherwise inside', () => {
  test('is used by its documented functions', async () => {
    vi.spyOn(ZstdContext, 'compressor').mockReturnValue(null);
    vi.spyOn(ZstdContext, 'decompressor').mockReturnValue(null);
    vi.resetModules();
    const fresh = await import('./compression.ts');
    const stored = fresh.compress(TEXT, 7);
    expect(fresh.decompress(stored, TEXT.length)).toEqual(TEXT);
  });
});

function fails(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch {
    return true;
  }
}
