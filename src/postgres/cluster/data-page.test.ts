import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import {
  hasSaneHeader,
  isNewPage,
  PAGE_BYTES,
  pageProblem,
  parsePageHeader,
  type PageCheck,
} from './data-page.ts';
import { pageChecksum, pageChecksums } from './page-checksum.ts';

const EVERY_PAGE: PageCheck = { block: 0, verifyChecksums: true, startLsn: 2n ** 64n - 1n };
const NO_CHECKSUMS: PageCheck = { ...EVERY_PAGE, verifyChecksums: false };

/** The first page of pg_proc of a real cluster, with some bytes replaced. */
function page(change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = Uint8Array.from(readClusterFixture(18, 'pages.zst').subarray(0, PAGE_BYTES));
  change(new DataView(bytes.buffer));
  return bytes;
}

describe.each(SUPPORTED_MAJORS)('pages of version %i', (major) => {
  const bytes = readClusterFixture(major, 'pages.zst');
  const blocks = Array.from({ length: bytes.length / PAGE_BYTES }, (_, block) => block);

  test('have the checksum that the server gave them', () => {
    const stored = blocks.map((block) => parsePageHeader(bytes, block * PAGE_BYTES).checksum);
    expect([...pageChecksums(bytes, 0)]).toEqual(stored);
    expect(blocks).toHaveLength(6);
  });

  test('have a header that makes sense, and no problem', () => {
    for (const block of blocks) {
      const header = parsePageHeader(bytes, block * PAGE_BYTES);
      expect(hasSaneHeader(header)).toBe(true);
      expect(isNewPage(header)).toBe(false);
      expect(header.lsn).toBeGreaterThan(0n);
      const one = bytes.subarray(block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
      expect(pageProblem(one, { ...EVERY_PAGE, block })).toBeNull();
      expect(pageProblem(one, { ...NO_CHECKSUMS, block })).toBeNull();
      expect(pageProblem(one, { ...EVERY_PAGE, block: block + 131_072 })).toBe('checksum');
    }
  });
});

describe('a page checksum', () => {
  test('does not depend on where the bytes lie, nor on the checksum they carry', () => {
    const bytes = page();
    const expected = parsePageHeader(bytes).checksum;
    const unaligned = new Uint8Array(PAGE_BYTES + 3).subarray(3);
    unaligned.set(bytes);
    expect(pageChecksum(unaligned, 0)).toBe(expected);
    expect(
      pageChecksum(
        page((view) => view.setUint16(8, 0)),
        0,
      ),
    ).toBe(expected);
  });

  test('changes with any single bit outside itself', () => {
    const bytes = page();
    const expected = pageChecksum(bytes, 0);
    let same = 0;
    for (let at = 0; at < PAGE_BYTES; at += 7) {
      if (at === 8 || at === 9) continue;
      const before = bytes[at] ?? 0;
      bytes[at] = before ^ (1 << (at & 7));
      if (pageChecksum(bytes, 0) === expected) same += 1;
      bytes[at] = before;
    }
    expect(same).toBe(0);
  });

  test('is never 0', () => {
    const values = Array.from({ length: 70_000 }, (_, block) => pageChecksum(ZEROS, block));
    expect(Math.min(...new Set(values))).toBe(1);
    expect(Math.max(...new Set(values))).toBe(65_535);
  });
});

const ZEROS = new Uint8Array(PAGE_BYTES);

describe('the check of a page', () => {
  test('takes a page of zeros for new and good', () => {
    expect(pageProblem(ZEROS, EVERY_PAGE)).toBeNull();
    expect(pageProblem(ZEROS, NO_CHECKSUMS)).toBeNull();
  });

  test.each([0, 10, 20, 8191])('refuses a new page with a byte set at %i', (at) => {
    const bytes = Uint8Array.from(ZEROS);
    bytes[at] = 1;
    expect(pageProblem(bytes, EVERY_PAGE)).toBe('not-zero');
    expect(pageProblem(bytes, NO_CHECKSUMS)).toBe('not-zero');
  });

  test('does not look at the checksum of a page changed since the start', () => {
    const changed = page((view) => view.setUint8(5000, view.getUint8(5000) ^ 1));
    const { lsn } = parsePageHeader(changed);
    expect(pageProblem(changed, { ...EVERY_PAGE, startLsn: lsn + 1n })).toBe('checksum');
    expect(pageProblem(changed, { ...EVERY_PAGE, startLsn: lsn })).toBeNull();
  });

  test('a page of rubbish does not pass for one changed since the start', () => {
    const rubbish = new Uint8Array(PAGE_BYTES).fill(0xa5);
    expect(parsePageHeader(rubbish).lsn).toBeGreaterThan(2n ** 63n);
    expect(pageProblem(rubbish, { ...EVERY_PAGE, startLsn: 2n ** 32n })).toBe('header');
  });

  test.each<[string, (view: DataView) => void]>([
    ['unknown flags', (view) => view.setUint16(10, 8, true)],
    ['lower inside the header', (view) => view.setUint16(12, 23, true)],
    ['lower beyond upper', (view) => view.setUint16(12, view.getUint16(14, true) + 1, true)],
    ['upper beyond special', (view) => view.setUint16(14, view.getUint16(16, true) + 1, true)],
    ['special beyond the page', (view) => view.setUint16(16, 8200, true)],
    ['special unaligned', (view) => view.setUint16(16, 8188, true)],
    ['another page size', (view) => view.setUint16(18, 0x4004, true)],
    ['another layout', (view) => view.setUint16(18, 0x2003, true)],
  ])('refuses %s when there are no checksums', (_what, change) => {
    expect(pageProblem(page(change), NO_CHECKSUMS)).toBe('header');
    expect(pageProblem(page(), NO_CHECKSUMS)).toBeNull();
  });

  test('reads the position with its high half first', () => {
    const bytes = page((view) => {
      view.setUint32(0, 0x16, true);
      view.setUint32(4, 0xb374d848, true);
    });
    expect(parsePageHeader(bytes).lsn).toBe(0x16_b374_d848n);
  });
});
