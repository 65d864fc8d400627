import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CopyBinaryParser } from './copy-binary-parser.ts';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = Buffer.from([0xff, 0xff]);

type Field = Uint8Array | null;

function encode(rows: readonly (readonly Field[])[]): Buffer {
  const parts: Buffer[] = [SIGNATURE];
  for (const row of rows) {
    const count = Buffer.alloc(2);
    count.writeInt16BE(row.length);
    parts.push(count);
    for (const field of row) {
      const length = Buffer.alloc(4);
      length.writeInt32BE(field === null ? -1 : field.length);
      parts.push(length, Buffer.from(field ?? []));
    }
  }
  return Buffer.concat([...parts, TRAILER]);
}

function decode(chunks: readonly Buffer[]): (string | null)[][] {
  const parser = new CopyBinaryParser();
  const rows: (string | null)[][] = [];
  let row: (string | null)[] = [];
  for (const chunk of chunks) {
    for (const event of parser.push(chunk)) {
      if (event.kind === 'field') row.push(event.length === null ? null : '');
      if (event.kind === 'data') row.push(`${row.pop() ?? ''}${event.bytes.toString('hex')}`);
      if (event.kind === 'row') {
        rows.push(row);
        row = [];
      }
    }
  }
  parser.end();
  return rows;
}

const rowsOf = fc.array(
  fc.array(fc.option(fc.uint8Array({ maxLength: 30 }), { nil: null }), { maxLength: 3 }),
  { maxLength: 5 },
);

describe('the binary COPY parser', () => {
  test('reads the same rows however the bytes are cut', () => {
    fc.assert(
      fc.property(rowsOf, fc.integer({ min: 1, max: 40 }), (rows, size) => {
        const bytes = encode(rows);
        const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
          bytes.subarray(index * size, (index + 1) * size),
        );
        const expected = rows.map((row) =>
          row.map((field) => (field === null ? null : Buffer.from(field).toString('hex'))),
        );
        expect(decode(chunks)).toEqual(expected);
      }),
    );
  });

  test('never takes cut data for whole', () => {
    const bytes = encode([[Buffer.from('one'), null], [Buffer.from('two')]]);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decode([bytes.subarray(0, length)])).toThrow(/ends before its trailer/);
    }
  });

  test('skips a header extension', () => {
    const header = Buffer.from(SIGNATURE);
    header.writeUInt32BE(3, 15);
    const bytes = Buffer.concat([header, Buffer.from('ext'), TRAILER]);
    expect(decode([bytes])).toEqual([]);
  });

  test.each([
    ['a wrong signature', Buffer.from('PGCOPX\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')],
    ['a critical flag', Buffer.from('PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0', 'latin1')],
    ['a negative column count', Buffer.concat([SIGNATURE, Buffer.from([0xff, 0xfe])])],
    ['too many columns', Buffer.concat([SIGNATURE, Buffer.from([0x7f, 0xff])])],
    [
      'a negative field length',
      Buffer.concat([SIGNATURE, Buffer.from([0, 1, 0xff, 0xff, 0xff, 0xfe])]),
    ],
    ['bytes after the trailer', Buffer.concat([encode([]), Buffer.from([0])])],
  ])('refuses %s', (_, bytes) => {
    expect(() => decode([bytes])).toThrow(/read binary COPY data/);
  });
});
