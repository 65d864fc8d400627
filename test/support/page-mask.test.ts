import { expect, test } from 'vitest';
import { isBlankPage, maskPage, pageKind } from './page-mask.ts';
import { parsePageHeader } from '../../src/postgres/cluster/data-page.ts';

const TUPLE = 8192 - 64;
const LP_NORMAL = 1;

/** A heap page with one tuple of 60 bytes. */
function heapPage(change: (page: Buffer) => void = () => {}): Buffer {
  const page = emptyPage(0);
  page.writeUInt32LE(0x1234, 4);
  page.writeUInt16LE(28, 12);
  page.writeUInt16LE(TUPLE, 14);
  page.writeUInt32LE((TUPLE | (LP_NORMAL << 15) | (60 << 17)) >>> 0, 24);
  page.writeUInt32LE(777, TUPLE);
  page.write('content', TUPLE + 24);
  change(page);
  return page;
}

function emptyPage(specialBytes: number): Buffer {
  const page = Buffer.alloc(8192);
  page.writeUInt16LE(24, 12);
  page.writeUInt16LE(8192 - specialBytes, 14);
  page.writeUInt16LE(8192 - specialBytes, 16);
  page.writeUInt16LE(0x2004, 18);
  return page;
}

const HINTS: readonly [string, (page: Buffer) => void][] = [
  ['the LSN', (page) => page.writeUInt32LE(0x9999, 4)],
  ['the checksum', (page) => page.writeUInt16LE(1, 8)],
  ['hint bits of a tuple', (page) => page.writeUInt16LE(0x0500, TUPLE + 20)],
  ['unused space', (page) => page.writeUInt8(7, 4000)],
  ['padding behind a tuple', (page) => page.writeUInt8(7, TUPLE + 62)],
];

test.each(HINTS)('%s is masked', (_name, change) => {
  expect(maskPage(heapPage(change), 0)).toEqual(maskPage(heapPage(), 0));
});

const CHANGES: readonly [string, (page: Buffer) => void][] = [
  ['xmin', (page) => page.writeUInt32LE(778, TUPLE)],
  ['xmax', (page) => page.writeUInt32LE(778, TUPLE + 4)],
  ['content', (page) => page.writeUInt8(7, TUPLE + 25)],
  ['a line pointer', (page) => page.writeUInt8(7, 24)],
];

test.each(CHANGES)('%s is compared', (_name, change) => {
  expect(maskPage(heapPage(change), 0)).not.toEqual(maskPage(heapPage(), 0));
});

test('a page that was only extended or initialised is blank, one with content is not', () => {
  expect(isBlankPage(Buffer.alloc(8192))).toBe(true);
  expect(isBlankPage(emptyPage(16))).toBe(true);
  expect(isBlankPage(heapPage())).toBe(false);
});

test.each([
  [0, 0, 'heap'],
  [16, 0x0000, 'btree'],
  [16, 0xff80, 'hash'],
  [16, 0xff81, 'gist'],
  [8, 0xff82, 'spgist'],
  [8, 0xf093, 'brin'],
  [8, 0x0002, 'gin'],
] as const)('a special space of %i bytes that ends with %i tells a %s page', (bytes, id, kind) => {
  const page = emptyPage(bytes);
  if (bytes > 0) page.writeUInt16LE(id, 8190);
  expect(pageKind(page, parsePageHeader(page))).toBe(kind);
});
