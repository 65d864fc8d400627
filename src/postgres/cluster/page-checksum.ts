/**
 * PostgreSQL's page checksum in JavaScript: 32 lanes of FNV-1a with a shift. The second opinion on the WASM scanner, and
 * what works without it. Source: src/include/storage/checksum_impl.h, unchanged from 13 to 18.
 */

const PAGE_WORDS = 2048;
const LANE_COUNT = 32;
const FNV_PRIME = 16777619;

/** `checksumBaseOffsets`. */
const LANES = Int32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
);

/**
 * The checksum that a page of 8192 bytes must carry as this block of its relation fork, 1 to 65535.
 * @param block absolute in the relation: block in the file + segment · 131072.
 */
export function pageChecksum(page: Uint8Array, block: number): number {
  return wordsChecksum(wordsOf(page), 0, block);
}

/**
 * The checksums of consecutive pages, in order.
 * @param pages whole pages, the first of which is block `firstBlock`.
 */
export function pageChecksums(pages: Uint8Array, firstBlock: number): Uint16Array {
  const words = wordsOf(pages);
  const checksums = new Uint16Array(words.length / PAGE_WORDS);
  for (let index = 0; index < checksums.length; index += 1) {
    checksums[index] = wordsChecksum(words, index * PAGE_WORDS, firstBlock + index);
  }
  return checksums;
}

/** The bytes as 32-bit words of this machine, which like the server's is little-endian; copied only if unaligned. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
}

function wordsChecksum(words: Int32Array, start: number, block: number): number {
  let sum = 0;
  // Four lanes at a time stay in registers.
  for (let lane = 0; lane < LANE_COUNT; lane += 4) sum ^= fourLanes(words, start, lane);
  return (((sum ^ block) >>> 0) % 65535) + 1;
}

function fourLanes(words: Int32Array, start: number, lane: number): number {
  let a = LANES[lane] ?? 0;
  let b = LANES[lane + 1] ?? 0;
  let c = LANES[lane + 2] ?? 0;
  let d = LANES[lane + 3] ?? 0;
  let t = 0;
  let at = start + lane;
  const end = start + PAGE_WORDS;
  if (lane === 0) {
    // The third word begins with pd_checksum, which counts as zero.
    t = a ^ (words[at] ?? 0);
    a = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    t = b ^ (words[at + 1] ?? 0);
    b = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    t = c ^ ((words[at + 2] ?? 0) & 0xffff_0000);
    c = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    t = d ^ (words[at + 3] ?? 0);
    d = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    at += LANE_COUNT;
  }
  for (; at < end; at += LANE_COUNT) {
    t = a ^ (words[at] ?? 0);
    a = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    t = b ^ (words[at + 1] ?? 0);
    b = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    t = c ^ (words[at + 2] ?? 0);
    c = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
    t = d ^ (words[at + 3] ?? 0);
    d = Math.imul(t, FNV_PRIME) ^ (t >>> 17);
  }
  return lastRounds(a) ^ lastRounds(b) ^ lastRounds(c) ^ lastRounds(d);
}

/** Two more rounds with zeros mix the last row. */
function lastRounds(lane: number): number {
  const once = Math.imul(lane, FNV_PRIME) ^ (lane >>> 17);
  return Math.imul(once, FNV_PRIME) ^ (once >>> 17);
}
