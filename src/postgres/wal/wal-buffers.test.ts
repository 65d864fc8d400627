import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  expectedWal,
  FIXTURE_SEGMENT_BYTES,
  fixtureSegment,
} from '../../../test/fixtures/wal/load.ts';
import { isAligned } from '../../lib/aligned-buffer.ts';
import { crc32c } from '../../lib/hashing.ts';
import { describeSegment } from './segment-facts.ts';
import { makeWalBuffers, recordChecksumOf } from './wal-buffers.ts';
import { WalBytes } from './wal-bytes.ts';

const HEADER_BYTES = 24;
const CRC_OFFSET = 20;

/** A record with its own checksum, at the front of the buffer. */
function putRecord(buffer: Buffer, content: Uint8Array): number {
  buffer.set(content);
  const body = crc32c(buffer.subarray(HEADER_BYTES, content.length));
  buffer.writeUInt32LE(crc32c(buffer.subarray(0, CRC_OFFSET), body), CRC_OFFSET);
  return content.length;
}

describe('buffers for WAL', () => {
  const [buffer, next] = makeWalBuffers(2, 65_536) as [Buffer, Buffer];

  test('check records by WebAssembly, and lie aligned behind each other', () => {
    expect(recordChecksumOf(buffer.buffer)).not.toBeNull();
    expect(recordChecksumOf(new ArrayBuffer(8))).toBeNull();
    expect([isAligned(buffer), isAligned(next)]).toEqual([true, true]);
    expect(next.byteOffset - buffer.byteOffset).toBe(65_536);
  });

  test('find each record intact, and not when any bit of it is flipped', () => {
    const record = fc.uint8Array({ minLength: HEADER_BYTES, maxLength: 900 });
    fc.assert(
      fc.property(record, fc.nat(), (content, place) => {
        const length = putRecord(buffer, content);
        const walked = new WalBytes(buffer);
        const elsewhere = (): WalBytes => new WalBytes(Buffer.from(buffer.subarray(0, length)));
        expect([walked.isIntact(0, length), elsewhere().isIntact(0, length)]).toEqual([true, true]);
        const bit = place % (length * 8);
        buffer.writeUInt8(buffer.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        expect([walked.isIntact(0, length), elsewhere().isIntact(0, length)]).toEqual([
          false,
          false,
        ]);
      }),
    );
  });

  test('show the walker the same facts as other memory', () => {
    const [segment] = makeWalBuffers(1, FIXTURE_SEGMENT_BYTES) as [Buffer];
    for (const name of expectedWal(18).path) {
      const bytes = fixtureSegment(18, name);
      segment.set(bytes);
      const options = { name, segmentBytes: FIXTURE_SEGMENT_BYTES };
      expect(describeSegment(segment, options)).toEqual(describeSegment(bytes, options));
    }
  });
});
