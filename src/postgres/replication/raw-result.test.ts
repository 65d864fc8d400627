import { describe, expect, test } from 'vitest';
import { WIRE } from '../connection/wire-framer.ts';
import {
  parseDataRow,
  parseRowDescription,
  requiredColumn,
  ResultCollector,
  textColumn,
} from './raw-result.ts';

function rowDescription(...names: string[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeUInt16BE(names.length);
  return Buffer.concat([
    count,
    ...names.map((name) => Buffer.concat([Buffer.from(`${name}\0`), Buffer.alloc(18)])),
  ]);
}

function dataRow(...values: (string | null)[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeUInt16BE(values.length);
  const parts = values.map((value) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(value === null ? -1 : Buffer.byteLength(value));
    return Buffer.concat([length, Buffer.from(value ?? '')]);
  });
  return Buffer.concat([count, ...parts]);
}

describe('raw result sets', () => {
  test('are collected with their bytes and nulls', () => {
    const collector = new ResultCollector();
    expect(collector.take(WIRE.rowDescription, rowDescription('a', 'b'))).toBe(true);
    expect(collector.take(WIRE.dataRow, dataRow('x', null))).toBe(true);
    expect(collector.take(WIRE.commandComplete, Buffer.from('SELECT\0'))).toBe(true);
    expect(collector.take(WIRE.copyDone, Buffer.alloc(0))).toBe(false);
    const [result] = collector.results;
    if (result === undefined) throw new Error('no result');
    expect(textColumn(result, 0, 'a')).toBe('x');
    expect(textColumn(result, 0, 'b')).toBeNull();
    expect(() => requiredColumn(result, 0, 'b')).toThrow(/no value for b/);
    expect(() => textColumn(result, 0, 'c')).toThrow(/has no c/);
    expect(() => textColumn(result, 1, 'a')).toThrow(/has no a/);
  });

  test('bytes that are no UTF-8 stay as they are', () => {
    const row = Buffer.concat([Buffer.from([0, 1, 0, 0, 0, 2]), Buffer.from([0xff, 0xfe])]);
    expect(parseDataRow(row)).toEqual([Buffer.from([0xff, 0xfe])]);
  });

  test.each([
    ['a row description', rowDescription('a', 'bc'), parseRowDescription],
    ['a row', dataRow('abc', null, ''), parseDataRow],
  ])('%s is refused wherever it is cut, and when it is too long', (_, body, parse) => {
    for (let length = 0; length < body.length; length += 1) {
      expect(() => parse(body.subarray(0, length))).toThrow(/cut short|lacks the end/);
    }
    expect(() => parse(Buffer.concat([body, Buffer.alloc(1)]))).toThrow(/too long/);
  });

  test('a row without a description is refused', () => {
    expect(() => new ResultCollector().take(WIRE.dataRow, dataRow('a'))).toThrow(/description/);
  });
});
