import * as fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { PAGE_BYTES, pageProblem } from './data-page.ts';
import { xxh64 } from './page-hash.ts';
import { PageScanner, type PageScan, type PageScanOptions } from './page-scanner.ts';

const CAPACITY_PAGES = 16;
const LSN_MAX = 2n ** 64n - 1n;

let wasm: PageScanner;
let javascript: PageScanner;

beforeAll(async () => {
  wasm = await PageScanner.create(CAPACITY_PAGES * PAGE_BYTES);
  javascript = await PageScanner.create(CAPACITY_PAGES * PAGE_BYTES, 'javascript');
});

/** Scans with both implementations, which must say the same, and answers what they say. */
function scanBoth(
  pages: Uint8Array,
  options: Omit<PageScanOptions, 'pageCount'>,
): PageScan & { readonly hashes: bigint[] } {
  const pageCount = pages.length / PAGE_BYTES;
  const [first, second] = [wasm, javascript].map((scanner) => {
    scanner.pages.set(pages);
    scanner.hashes.fill(0);
    const { badPages } = scanner.scan({ ...options, pageCount });
    const view = new DataView(scanner.hashes.buffer, scanner.hashes.byteOffset);
    const hashes = Array.from({ length: pageCount }, (_, index) =>
      view.getBigUint64(index * 8, true),
    );
    return { badPages, hashes };
  });
  expect(first).toEqual(second);
  return first ?? { badPages: [], hashes: [] };
}

test('the WASM scanner is there: `npm run build` makes it', () => {
  expect(wasm.implementation).toBe('wasm');
  expect(javascript.implementation).toBe('javascript');
});

describe.each(SUPPORTED_MAJORS)('scanning pages of version %i', (major) => {
  const pages = readClusterFixture(major, 'pages.zst');
  const startLsn = LSN_MAX;

  test('finds nothing wrong with them', () => {
    for (const verifyChecksums of [true, false]) {
      const { badPages } = scanBoth(pages, { firstBlock: 0, verifyChecksums, startLsn });
      expect(badPages).toEqual([]);
    }
  });

  test('hashes each with XXH64', () => {
    const { hashes } = scanBoth(pages, { firstBlock: 0, verifyChecksums: true, startLsn });
    const expected = hashes.map((_, index) =>
      xxh64(pages.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES)),
    );
    expect(hashes).toEqual(expected);
    expect(new Set(hashes).size).toBe(6);
  });

  test('finds every page at another block than its own', () => {
    const options = { firstBlock: 131_072, verifyChecksums: true, startLsn };
    expect(scanBoth(pages, options).badPages).toEqual([0, 1, 2, 3, 4, 5]);
    expect(scanBoth(pages, { ...options, verifyChecksums: false }).badPages).toEqual([]);
  });

  test('finds any flipped bit, and no other page', () => {
    fc.assert(
      fc.property(fc.nat(pages.length * 8 - 1), (bit) => {
        const broken = Buffer.from(pages);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const options = { firstBlock: 0, verifyChecksums: true, startLsn };
        expect(scanBoth(broken, options).badPages).toEqual([Math.floor((bit >> 3) / PAGE_BYTES)]);
      }),
      { numRuns: 30 },
    );
  });
});

describe('scanning', () => {
  test('both implementations agree on any pages, and with the check of one page', () => {
    const header = fc.uint8Array({ minLength: 24, maxLength: 24 });
    const kind = fc.constantFrom('real', 'zero', 'noise', 'header', 'nearly zero');
    const anyPage = fc.record({ kind, header, byte: fc.nat(255), at: fc.nat(PAGE_BYTES - 1) });
    const real = readClusterFixture(17, 'pages.zst').subarray(0, PAGE_BYTES);
    const build = (plan: {
      kind: string;
      header: Uint8Array;
      byte: number;
      at: number;
    }): Uint8Array => {
      const page = new Uint8Array(PAGE_BYTES);
      if (plan.kind === 'real' || plan.kind === 'header') page.set(real);
      if (plan.kind === 'noise') page.fill(plan.byte);
      if (plan.kind === 'header') page.set(plan.header);
      if (plan.kind === 'nearly zero') page[plan.at] = plan.byte;
      return page;
    };
    fc.assert(
      fc.property(
        fc.array(anyPage, { maxLength: CAPACITY_PAGES }),
        fc.record({
          firstBlock: fc.integer({ min: 0, max: 2 ** 32 - 1 - CAPACITY_PAGES }),
          verifyChecksums: fc.boolean(),
          startLsn: fc.bigInt({ min: 0n, max: LSN_MAX }),
        }),
        (plans, options) => {
          const pages = plans.map(build);
          const { badPages } = scanBoth(Buffer.concat(pages), options);
          const expected = pages.flatMap((page, index) => {
            const block = options.firstBlock + index;
            return pageProblem(page, { ...options, block }) === null ? [] : [index];
          });
          expect(badPages).toEqual(expected);
        },
      ),
    );
  });

  test('headers that differ in one field are judged alike', () => {
    const real = readClusterFixture(18, 'pages.zst').subarray(0, PAGE_BYTES);
    const options = { firstBlock: 0, verifyChecksums: false, startLsn: 0n };
    let bad = 0;
    for (let bit = 80; bit < 160; bit += 1) {
      const page = Buffer.from(real);
      page[bit >> 3] = (page[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      bad += scanBoth(page, options).badPages.length;
    }
    expect(bad).toBeGreaterThan(30);
  });

  test('a page is judged by its checksum up to the start, and no further', () => {
    const page = Buffer.from(readClusterFixture(18, 'pages.zst').subarray(0, PAGE_BYTES));
    const lsn = (BigInt(page.readUInt32LE(0)) << 32n) | BigInt(page.readUInt32LE(4));
    page.writeUInt8(page.readUInt8(5000) ^ 1, 5000);
    const options = { firstBlock: 0, verifyChecksums: true };
    expect(scanBoth(page, { ...options, startLsn: lsn + 1n }).badPages).toEqual([0]);
    expect(scanBoth(page, { ...options, startLsn: lsn }).badPages).toEqual([]);
  });

  test('no pages are no trouble, and a scan does not leave its memory', () => {
    const options = { firstBlock: 0, verifyChecksums: true, startLsn: 0n };
    for (const scanner of [wasm, javascript]) {
      expect(scanner.scan({ ...options, pageCount: 0 }).badPages).toEqual([]);
      expect(() => scanner.scan({ ...options, pageCount: CAPACITY_PAGES + 1 })).toThrow(/within/);
      expect(() => scanner.scan({ ...options, pageCount: -1 })).toThrow(/within/);
      expect(() => scanner.scan({ ...options, pageCount: 1, firstBlock: -1 })).toThrow(/32 bits/);
    }
  });

  test('a scanner holds whole pages', async () => {
    await expect(PageScanner.create(0)).rejects.toThrow(/whole pages/);
    await expect(PageScanner.create(8000)).rejects.toThrow(/whole pages/);
    const scanner = await PageScanner.create(4 * 1024 * 1024);
    expect(scanner.pages.length).toBe(4 * 1024 * 1024);
    expect(scanner.hashes.length).toBe(4096);
  });
});
