import { describe, expect, test } from 'vitest';
import { assembleSegment, cutSegment } from './segment-assembly.ts';

const name = '000000010000000000000001';
const options = { name, segmentBytes: 16 };
const piece = (offset: number, text: string): { offset: number; bytes: Buffer } => ({
  offset,
  bytes: Buffer.from(text),
});

describe('pieces of a segment', () => {
  test('become a segment, zero behind the last byte, in any order', () => {
    const { bytes, length } = assembleSegment([piece(4, 'efgh'), piece(0, 'abcd')], options);
    expect(length).toBe(8);
    expect(Buffer.from(bytes).toString('latin1')).toBe('abcdefgh\0\0\0\0\0\0\0\0');
  });

  test('may overlap where they agree', () => {
    const { length } = assembleSegment(
      [piece(0, 'abcdef'), piece(2, 'cd'), piece(4, 'efgh')],
      options,
    );
    expect(length).toBe(8);
  });

  test('with a gap are refused with its place', () => {
    expect(() => assembleSegment([piece(0, 'ab'), piece(4, 'ef')], options)).toThrow(
      'bytes 2 to 4 are missing',
    );
  });

  test('that disagree are refused', () => {
    expect(() => assembleSegment([piece(0, 'abcd'), piece(2, 'xd')], options)).toThrow('differ');
  });

  test('beyond the segment are refused', () => {
    expect(() => assembleSegment([piece(0, 'a'.repeat(17))], options)).toThrow('too long');
  });

  test('a segment is cut at a place', () => {
    expect(Buffer.from(cutSegment(Buffer.from('abcdef'), 3, 8)).toString('latin1')).toBe(
      'abc\0\0\0\0\0',
    );
  });
});
