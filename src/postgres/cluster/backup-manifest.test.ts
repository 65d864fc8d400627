import { createHash } from 'node:crypto';

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { crc32c } from '../../lib/hashing.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { parseControlFile } from './control-file.ts';
import {
  BackupManifestParser,
  manifestCrc32c,
  type BackupManifestSummary,
  type ManifestFile,
} from './backup-manifest.ts';

type Parsed = { files: ManifestFile[]; summary: BackupManifestSummary };

function parse(bytes: Uint8Array, chunkBytes = 65536): Parsed {
  const files: ManifestFile[] = [];
  const parser = new BackupManifestParser((file) => files.push(file));
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    parser.feed(bytes.subarray(at, at + chunkBytes));
  }
  return { files, summary: parser.end() };
}

type Part = 'version' | 'system' | 'filesOpen' | 'files' | 'close' | 'rangesOpen' | 'range';

const PARTS: Record<Part, string> = {
  version: '{ "PostgreSQL-Backup-Manifest-Version": 2,\n',
  system: '"System-Identifier": 18446744073709551615,\n',
  filesOpen: '"Files": [\n',
  files:
    '{ "Path": "base/1/1255", "Size": 0, "Last-Modified": "2026-11-22 18:39:31 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" },\n' +
    '{ "Encoded-Path": "ff2f78", "Size": 9007199254740991, "Last-Modified": "2026-11-22 18:39:31 GMT" }\n',
  close: '],\n',
  rangesOpen: '"WAL-Ranges": [\n',
  range:
    '{ "Timeline": 2, "Start-LSN": "0/3000028", "End-LSN": "0/03000158" },\n' +
    '{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/3000028" }\n],\n',
};

/** A manifest made of parts, with the checksum that belongs to it. */
function manifest(changes: Partial<Record<Part, string>> = {}): Buffer {
  const body = Object.values({ ...PARTS, ...changes }).join('');
  const checksum = createHash('sha256').update(body).digest('hex');
  return Buffer.from(`${body}"Manifest-Checksum": "${checksum}"}\n`);
}

describe.each(SUPPORTED_MAJORS)('the backup_manifest of version %i', (major) => {
  const bytes = readClusterFixture(major, 'backup_manifest.zst');

  test('is read whatever the size of its pieces', () => {
    const whole = parse(bytes);
    expect(whole.files.length).toBe(whole.summary.fileCount);
    expect(whole.files.length).toBeGreaterThan(900);
    expect(whole.summary.version).toBe(major >= 17 ? 2 : 1);
    expect(whole.summary.walRanges).toHaveLength(1);
    expect(parse(bytes, 7)).toEqual(whole);
    expect(parse(bytes, 1000)).toEqual(whole);
  });

  test('agrees with the files it lists', () => {
    const { files, summary } = parse(bytes);
    const label = readClusterFixture(major, 'backup_label');
    const entry = files.find(({ path }) => path === 'backup_label');
    expect(entry).toMatchObject({
      sizeBytes: label.length,
      rawPath: null,
      checksum: { algorithm: 'CRC32C', hex: manifestCrc32c(crc32c(label)) },
    });
    const { systemIdentifier } = parseControlFile(readClusterFixture(major, 'pg_control'));
    expect(summary.systemIdentifier).toBe(major >= 17 ? systemIdentifier : null);
    expect(systemIdentifier).toBeGreaterThan(2n ** 53n);
  });

  test('is refused after a flipped bit, and after any cut', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), fc.nat(bytes.length - 1), (bit, length) => {
        const broken = Buffer.from(bytes);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => parse(broken)).toThrow(WalnutError);
        expect(() => parse(bytes.subarray(0, length))).toThrow(WalnutError);
      }),
      { numRuns: 30 },
    );
  });
});

describe('parsing a backup manifest', () => {
  test('keeps identifiers beyond 2^53, sizes up to it, and paths that are not UTF-8', () => {
    const { files, summary } = parse(manifest());
    expect(summary).toMatchObject({
      systemIdentifier: 2n ** 64n - 1n,
      fileCount: 2,
      walRanges: [
        { timeline: 2, start: 0x300_0028n, end: 0x300_0158n },
        { timeline: 1, start: 0x200_0028n, end: 0x300_0028n },
      ],
    });
    expect(files).toEqual([
      {
        path: 'base/1/1255',
        rawPath: null,
        sizeBytes: 0,
        lastModified: new Date('2026-11-22T18:39:31Z'),
        checksum: { algorithm: 'CRC32C', hex: '00000000' },
      },
      {
        path: '\uFFFD/x',
        rawPath: Buffer.from('ff2f78', 'hex'),
        sizeBytes: Number.MAX_SAFE_INTEGER,
        lastModified: new Date('2026-11-22T18:39:31Z'),
        checksum: null,
      },
    ]);
  });

  test(
    'does not grow with the manifest: a gigabyte of it passes through',
    { timeout: 60_000 },
    () => {
      const line = `{ "Path": "base/1/${'1'.repeat(60_000)}", "Size": 1, "Last-Modified": "2026-11-22 18:39:31 GMT" },\n`;
      // A path that long is refused, so the lines are long by blanks, which JSON allows between its words.
      const blank = line.replace(/1{60000}/, '2').replace(' }', `${' '.repeat(60_000)}}`);
      const block = Buffer.from(blank.repeat(16));
      let count = 0;
      const parser = new BackupManifestParser(() => (count += 1));
      const hash = createHash('sha256');
      const feed = (bytes: Buffer): void => {
        hash.update(bytes);
        parser.feed(bytes);
      };
      feed(Buffer.from(`${PARTS.version}${PARTS.system}${PARTS.filesOpen}`));
      const rounds = Math.ceil(600_000_000 / block.length);
      for (let round = 0; round < rounds; round += 1) feed(block);
      feed(Buffer.from(`${PARTS.files}${PARTS.close}${PARTS.rangesOpen}${PARTS.range}`));
      parser.feed(Buffer.from(`"Manifest-Checksum": "${hash.digest('hex')}"}\n`));
      expect(parser.end().fileCount).toBe(rounds * 16 + 2);
      expect(count).toBe(rounds * 16 + 2);
    },
  );

  test.each<[string, Partial<Record<Part, string>>, RegExp]>([
    ['no JSON', { version: 'hello\n' }, /version is unreadable/],
    ['version 3', { version: PARTS.version.replace('2,', '3,') }, /version 3 is unknown/],
    ['no system identifier', { system: '' }, /system identifier is unreadable/],
    ['a system identifier too large', { system: PARTS.system.replace('1', '2') }, /system ident/],
    ['an absolute path', { files: PARTS.files.replace('base/1', '/etc') }, /it is absolute/],
    ['a path upwards', { files: PARTS.files.replace('base/1', '../1') }, /contains "\.\."/],
    ['an encoded path upwards', { files: PARTS.files.replace('ff2f78', '2e2e2f78') }, /"\.\."/],
    ['no path', { files: PARTS.files.replace('"Path"', '"Pat"') }, /a file has no path/],
    ['two paths', { files: PARTS.files.replace('"Path"', '"Encoded-Path": "61", "Path"') }, /no p/],
    [
      'half a byte of path',
      { files: PARTS.files.replace('ff2f78', 'ff2f7') },
      /a file has no path/,
    ],
    ['a negative size', { files: PARTS.files.replace('"Size": 0', '"Size": -1') }, /no size/],
    ['a size beyond 2^53', { files: PARTS.files.replace('0991,', '0993,') }, /a file has no size/],
    ['no time', { files: PARTS.files.replace('GMT', 'CET') }, /no time of modification/],
    ['an unknown checksum', { files: PARTS.files.replace('CRC32C', 'MD5') }, /unreadable checksum/],
    [
      'a checksum without name',
      { files: PARTS.files.replace('-Algorithm', '') },
      /unreadable check/,
    ],
    ['a missing comma', { files: PARTS.files.replace('},', '}') }, /a comma is missing/],
    ['a comma too many', { files: PARTS.files.replace(/\}\n$/, '},\n') }, /ends after a comma/],
    ['an item that is no object', { files: '1\n' }, /an item is no object/],
    ['no ranges', { rangesOpen: '' }, /for "WAL-Ranges"/],
    ['timeline 0', { range: PARTS.range.replace('2,', '0,') }, /WAL range is unreadable/],
    ['a broken LSN', { range: PARTS.range.replace('0/3000028', 'x') }, /WAL range is unreadable/],
    ['a line too long', { system: `"${'x'.repeat(70_000)}"\n` }, /a line is too long/],
  ])('refuses %s', (_what, changes, reason) => {
    expect(() => parse(manifest(changes))).toThrow(reason);
    expect(() => parse(manifest(changes), 5)).toThrow(reason);
  });

  test('refuses what follows its end, and a checksum that is not its own', () => {
    expect(() => parse(Buffer.concat([manifest(), Buffer.from('\n')]))).toThrow(/follows its end/);
    expect(() => parse(Buffer.concat([manifest(), Buffer.from('x')]))).toThrow(/end is missing/);
    const other = manifest().toString().replace('base/1/1255', 'base/1/1256');
    expect(() => parse(Buffer.from(other))).toThrow(/its checksum is/);
  });

  test('shows a CRC in the order of a little-endian server', () => {
    expect(manifestCrc32c(0x01020304)).toBe('04030201');
    expect(manifestCrc32c(0xfffffffe)).toBe('feffffff');
  });
});
