import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { TarReader, type TarEntry } from './tar-reader.ts';

type Member = { entry: TarEntry; content: Buffer; ended: boolean };

function read(bytes: Uint8Array, chunkBytes = bytes.length): Member[] {
  const reader = new TarReader();
  const members: Member[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    for (const event of reader.feed(bytes.subarray(at, at + chunkBytes))) {
      const last = members.at(-1);
      if (event.kind === 'entry') {
        members.push({ entry: event.entry, content: Buffer.alloc(0), ended: false });
      } else if (event.kind === 'data' && last !== undefined) {
        last.content = Buffer.concat([last.content, event.bytes]);
      } else if (last !== undefined) {
        last.ended = true;
      }
    }
  }
  reader.end();
  return members;
}

type HeaderFields = {
  name?: string | Uint8Array;
  type?: string;
  size?: number | Uint8Array;
  link?: string;
  prefix?: string;
  magic?: string;
};

/** A header as src/port/tar.c writes it, with the checksum that belongs to it. */
function header(fields: HeaderFields = {}): Buffer {
  const { name = 'PG_VERSION', type = '0', size = 0, link = '', prefix = '' } = fields;
  const block = Buffer.alloc(512);
  block.set(Buffer.from(name), 0);
  block.write('0000600 ', 100, 'latin1');
  block.write('0000000 ', 108, 'latin1');
  block.write('0000000 ', 116, 'latin1');
  if (typeof size === 'number')
    block.write(`${size.toString(8).padStart(11, '0')} `, 124, 'latin1');
  else block.set(size, 124);
  block.write('15010341203 ', 136, 'latin1');
  block.write(type, 156, 'latin1');
  block.write(link, 157, 'utf8');
  block.write(fields.magic ?? 'ustar\0', 257, 'latin1');
  block.write('00', 263, 'latin1');
  block.write('postgres', 265, 'latin1');
  block.write(prefix, 345, 'latin1');
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')} \0`, 148, 'latin1');
  return block;
}

function file(name: string, content: string): Buffer {
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header({ name, size: content.length }), Buffer.from(content), padding]);
}

const TRAILER = Buffer.alloc(1024);

describe.each(SUPPORTED_MAJORS)('base.tar of version %i', (major) => {
  const bytes = readClusterFixture(major, 'base.tar.zst');

  test('is read whatever the size of its pieces', () => {
    const whole = read(bytes);
    expect(whole.filter(({ ended }) => !ended)).toEqual([]);
    for (const { content, entry } of whole) expect(content.length).toBe(entry.sizeBytes);
    expect(whole[0]?.entry.path).toBe('backup_label');
    expect(whole[0]?.content.equals(readClusterFixture(major, 'backup_label'))).toBe(true);
    expect(whole[1]?.content.equals(readClusterFixture(major, 'tablespace_map'))).toBe(true);
    expect(whole.at(-1)?.entry).toMatchObject({
      path: 'global/pg_control',
      sizeBytes: 8192,
      mode: 0o600,
      kind: 'file',
    });
    expect(whole.find(({ entry }) => entry.path === 'pg_wal/archive_status')?.entry.kind).toBe(
      'directory',
    );
    for (const chunkBytes of [1, 511, 512, 513, 4096]) {
      expect(read(bytes, chunkBytes)).toEqual(whole);
    }
  });

  test('may have or lack the two blocks of zeros at its end', () => {
    // pg_control, the last member, is 8192 bytes after its header.
    const lengthWithout = bytes.indexOf('global/pg_control\0') + 512 + 8192;
    const hasTrailer = major >= 15;
    expect(bytes.length).toBe(lengthWithout + (hasTrailer ? 1024 : 0));
    const other = hasTrailer ? bytes.subarray(0, -1024) : Buffer.concat([bytes, TRAILER]);
    expect(read(other)).toEqual(read(bytes));
  });

  test('a flipped bit in a header is noticed, and a cut is as well', () => {
    fc.assert(
      fc.property(fc.nat(512 * 8 - 1), fc.integer({ min: 1, max: 511 }), (bit, length) => {
        // Blanks and NUL after the checksum's digits say nothing, nor does a blank for its leading zero.
        fc.pre((bit >> 3 < 154 || bit >> 3 > 155) && bit !== 148 * 8 + 4);
        const broken = Buffer.from(bytes);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => read(broken)).toThrow(WalnutError);
        expect(() => read(bytes.subarray(0, length + 1024))).toThrow(/is cut/);
      }),
    );
    expect(read(bytes).length).toBeGreaterThan(20);
  });
});

describe('reading a tar archive', () => {
  test.each([15, 18])('links of tablespaces are shown as version %i sends them', (major) => {
    const members = read(readClusterFixture(major, 'base-links.tar.zst'));
    const link = members.find(({ entry }) => entry.kind === 'symlink');
    expect(link?.entry).toMatchObject({
      path: 'pg_tblspc/16384',
      linkTarget: `/tmp/space ${major}\\x\ny`,
      sizeBytes: 0,
    });
  });

  test('data are views on what was fed, not copies', () => {
    const bytes = Buffer.concat([file('a', 'walnut'), TRAILER]);
    const views = [...new TarReader().feed(bytes)].filter((event) => event.kind === 'data');
    expect(views.map((event) => event.bytes.buffer)).toEqual([bytes.buffer]);
  });

  test('sizes of 8 GB and more come in base 256', () => {
    const size = Buffer.from('800000000000000200000000', 'hex');
    const reader = new TarReader();
    const [event] = [...reader.feed(header({ size }))];
    expect(event).toMatchObject({ kind: 'entry', entry: { sizeBytes: 2 ** 33 } });
    expect(() => reader.end()).toThrow(/cut in PG_VERSION/);
  });

  test('names that are not UTF-8 keep their bytes', () => {
    const name = Buffer.from([0x2e, 0x2f, 0x61, 0xff, 0x2f]);
    const [member] = read(header({ name, type: '5' }));
    expect(member?.entry).toMatchObject({ path: 'a\uFFFD', rawPath: Buffer.from([0x61, 0xff]) });
  });

  test.each<[string, HeaderFields, RegExp]>([
    ['an absolute path', { name: '/etc/passwd' }, /it is absolute/],
    ['a path upwards', { name: 'base/../../x' }, /contains "\.\."/],
    ['a folder upwards', { name: '../', type: '5' }, /contains "\.\."/],
    ['a path of nothing but the folder', { name: './', type: '5' }, /it is empty/],
    ['a hidden absolute path', { name: './/etc/passwd' }, /it is absolute/],
    [
      'a link in the data directory',
      { name: 'base/', type: '2', link: '/etc' },
      /outside pg_tblspc/,
    ],
    ['a hard link', { type: '1', link: 'x' }, /is of type "1"/],
    ['a character device', { type: '3' }, /is of type "3"/],
    ['a long-name header', { type: 'L', size: 12 }, /is of type "L"/],
    ['a PAX header', { type: 'x', size: 12 }, /is of type "x"/],
    ['a prefix', { prefix: '/etc' }, /a path has a prefix/],
    ['another magic', { magic: 'walnut' }, /is no ustar header/],
    ['a folder with content', { name: 'base/', type: '5', size: 1 }, /is no file, but has 1 byte/],
    ['digits that are none', { size: Buffer.from('0000000009x ') }, /number "0000000009x"/],
    [
      'a size beyond 2^53',
      { size: Buffer.from('80000000ffffffffffffffff', 'hex') },
      /out of range/,
    ],
    ['a negative size', { size: Buffer.from('ff'.repeat(12), 'hex') }, /out of range/],
  ])('refuses %s', (_what, fields, reason) => {
    expect(() => read(Buffer.concat([header(fields), Buffer.alloc(1024)]))).toThrow(reason);
  });

  test('refuses a wrong checksum and what follows the end', () => {
    const broken = header();
    broken[0] = 0x51;
    expect(() => read(broken)).toThrow(/header checksum is wrong/);
    expect(() => read(Buffer.concat([TRAILER, file('a', 'b')]))).toThrow(/follows the end/);
  });

  test('any cut other than between members is noticed', () => {
    const archive = Buffer.concat([file('a', 'walnut'), file('b', 'x'.repeat(600)), TRAILER]);
    const whole: number[] = [];
    const reasons = new Set<string>();
    for (let length = 0; length <= archive.length; length += 1) {
      try {
        read(archive.subarray(0, length), 100);
        whole.push(length);
      } catch (error) {
        reasons.add(error instanceof WalnutError ? error.message.replace(/^.*: /, '') : 'none');
      }
    }
    expect(whole).toEqual([0, 1024, 2560, 3072, 3584]);
    expect([...reasons].toSorted()).toEqual([
      'the archive is cut in a',
      'the archive is cut in a header',
      'the archive is cut in b',
      'the archive is cut in the padding of a file',
    ]);
  });
});
