// AssemblyScript: hash and check of pages in one pass. Built by scripts/build.ts; page-scanner.ts is its only caller.
//
// The page checksum is that of src/include/storage/checksum_impl.h: 32 lanes of FNV-1a with a shift, one 128-byte row
// at a time. The hash is XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). They run
// in one loop because the one keeps the vector unit busy and the other the scalar multiplier.

const PAGE_BYTES: usize = 8192;
const ROW_BYTES: usize = 128;

const PRIME_1: u64 = 0x9e3779b185ebca87;
const PRIME_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME_3: u64 = 0x165667b19e3779f9;
const PRIME_4: u64 = 0x85ebca77c2b2ae63;

/** checksumBaseOffsets, the lanes' initial values. */
const LANES: usize = memory.data<u32>([
  0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c,
  0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb,
  0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4,
  0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
], 16);

// @ts-ignore: decorator
@inline
function mix(sum: v128, value: v128): v128 {
  const t = v128.xor(sum, value);
  return v128.xor(i32x4.mul(t, i32x4.splat(16777619)), i32x4.shr_u(t, 17));
}

// @ts-ignore: decorator
@inline
function round(accumulator: u64, at: usize): u64 {
  return rotl<u64>(accumulator + load<u64>(at) * PRIME_2, 31) * PRIME_1;
}

// @ts-ignore: decorator
@inline
function merge(hash: u64, accumulator: u64): u64 {
  return (hash ^ (rotl<u64>(accumulator * PRIME_2, 31) * PRIME_1)) * PRIME_1 + PRIME_4;
}

// @ts-ignore: decorator
@inline
function digest(a: u64, b: u64, c: u64, d: u64): u64 {
  let hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
  hash = merge(hash, a);
  hash = merge(hash, b);
  hash = merge(hash, c);
  hash = merge(hash, d);
  hash += <u64>PAGE_BYTES;
  hash = (hash ^ (hash >> 33)) * PRIME_2;
  hash = (hash ^ (hash >> 29)) * PRIME_3;
  return hash ^ (hash >> 32);
}

function hashPage(page: usize, hashAt: usize): void {
  let a: u64 = PRIME_1 + PRIME_2;
  let b: u64 = PRIME_2;
  let c: u64 = 0;
  let d: u64 = 0 - PRIME_1;
  const end = page + PAGE_BYTES;
  for (let row = page; row < end; row += 64) {
    a = round(a, row);
    b = round(b, row + 8);
    c = round(c, row + 16);
    d = round(d, row + 24);
    a = round(a, row + 32);
    b = round(b, row + 40);
    c = round(c, row + 48);
    d = round(d, row + 56);
  }
  store<u64>(hashAt, digest(a, b, c, d));
}

/** Stores the page's hash and returns its checksum for this block. */
function hashAndSumPage(page: usize, hashAt: usize, block: u32): u32 {
  let s0 = v128.load(LANES);
  let s1 = v128.load(LANES, 16);
  let s2 = v128.load(LANES, 32);
  let s3 = v128.load(LANES, 48);
  let s4 = v128.load(LANES, 64);
  let s5 = v128.load(LANES, 80);
  let s6 = v128.load(LANES, 96);
  let s7 = v128.load(LANES, 112);
  let a: u64 = PRIME_1 + PRIME_2;
  let b: u64 = PRIME_2;
  let c: u64 = 0;
  let d: u64 = 0 - PRIME_1;
  // pd_checksum, the two bytes at 8, counts as zero in the first row.
  let mask = i16x8(-1, -1, -1, -1, 0, -1, -1, -1);
  const all = i16x8.splat(-1);
  const end = page + PAGE_BYTES;
  for (let row = page; row < end; row += ROW_BYTES) {
    s0 = mix(s0, v128.and(v128.load(row), mask));
    mask = all;
    a = round(a, row);
    b = round(b, row + 8);
    s1 = mix(s1, v128.load(row, 16));
    c = round(c, row + 16);
    d = round(d, row + 24);
    s2 = mix(s2, v128.load(row, 32));
    a = round(a, row + 32);
    b = round(b, row + 40);
    s3 = mix(s3, v128.load(row, 48));
    c = round(c, row + 48);
    d = round(d, row + 56);
    s4 = mix(s4, v128.load(row, 64));
    a = round(a, row + 64);
    b = round(b, row + 72);
    s5 = mix(s5, v128.load(row, 80));
    c = round(c, row + 80);
    d = round(d, row + 88);
    s6 = mix(s6, v128.load(row, 96));
    a = round(a, row + 96);
    b = round(b, row + 104);
    s7 = mix(s7, v128.load(row, 112));
    c = round(c, row + 112);
    d = round(d, row + 120);
  }
  store<u64>(hashAt, digest(a, b, c, d));
  const zero = i32x4.splat(0);
  for (let extra = 0; extra < 2; extra += 1) {
    s0 = mix(s0, zero);
    s1 = mix(s1, zero);
    s2 = mix(s2, zero);
    s3 = mix(s3, zero);
    s4 = mix(s4, zero);
    s5 = mix(s5, zero);
    s6 = mix(s6, zero);
    s7 = mix(s7, zero);
  }
  const sums = v128.xor(
    v128.xor(v128.xor(s0, s1), v128.xor(s2, s3)),
    v128.xor(v128.xor(s4, s5), v128.xor(s6, s7)),
  );
  const sum: u32 =
    i32x4.extract_lane(sums, 0) ^
    i32x4.extract_lane(sums, 1) ^
    i32x4.extract_lane(sums, 2) ^
    i32x4.extract_lane(sums, 3);
  return ((sum ^ block) % 65535) + 1;
}

function isZero(page: usize): bool {
  const end = page + PAGE_BYTES;
  for (let at = page; at < end; at += 16) {
    if (v128.any_true(v128.load(at))) return false;
  }
  return true;
}

function hasSaneHeader(page: usize): bool {
  const lower = <u32>load<u16>(page, 12);
  const upper = <u32>load<u16>(page, 14);
  const special = <u32>load<u16>(page, 16);
  return (
    (load<u16>(page, 10) & 0xfff8) == 0 &&
    lower >= 24 &&
    lower <= upper &&
    upper <= special &&
    special <= 8192 &&
    (special & 7) == 0 &&
    load<u16>(page, 18) == 0x2004
  );
}

/**
 * Hashes `pageCount` pages from `pages` on into `hashes`, 8 bytes each, and writes the index of each bad page to `bad`,
 * 4 bytes each. Returns the number of bad pages.
 */
export function scan(
  pages: usize,
  hashes: usize,
  bad: usize,
  pageCount: u32,
  firstBlock: u32,
  verifyChecksums: bool,
  startLsn: u64,
): u32 {
  let badCount: u32 = 0;
  for (let index: u32 = 0; index < pageCount; index += 1) {
    const page = pages + <usize>index * PAGE_BYTES;
    const hashAt = hashes + (<usize>index << 3);
    let isBad: bool;
    if (load<u16>(page, 14) == 0) {
      hashPage(page, hashAt);
      isBad = !isZero(page);
    } else if (verifyChecksums && rotl<u64>(load<u64>(page), 32) < startLsn) {
      isBad = hashAndSumPage(page, hashAt, firstBlock + index) != <u32>load<u16>(page, 8);
    } else {
      hashPage(page, hashAt);
      isBad = !hasSaneHeader(page);
    }
    if (isBad) {
      store<u32>(bad + (<usize>badCount << 2), index);
      badCount += 1;
    }
  }
  return badCount;
}
