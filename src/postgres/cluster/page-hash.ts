/**
 * XXH64 with seed 0 in JavaScript, on halves of 32 bits. What works where the WASM scanner is missing: right, and slow.
 * Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
 */

type Half = { high: number; low: number };

const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const PRIME_5 = 0x27d4eb2f165667c5n;
const MASK = 2n ** 64n - 1n;

/** XXH64 of any number of bytes. */
export function xxh64(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stripesEnd = bytes.length - (bytes.length % 32);
  let hash = stripesEnd === 0 ? PRIME_5 : stripesHash(view, stripesEnd);
  hash = (hash + BigInt(bytes.length)) & MASK;
  let at = stripesEnd;
  for (; at + 8 <= bytes.length; at += 8) {
    const lane = roundOf(0n, view.getBigUint64(at, true));
    hash = (rotateLeft(hash ^ lane, 27n) * PRIME_1 + PRIME_4) & MASK;
  }
  if (at + 4 <= bytes.length) {
    const lane = (BigInt(view.getUint32(at, true)) * PRIME_1) & MASK;
    hash = (rotateLeft(hash ^ lane, 23n) * PRIME_2 + PRIME_3) & MASK;
    at += 4;
  }
  for (; at < bytes.length; at += 1) {
    const lane = (BigInt(view.getUint8(at)) * PRIME_5) & MASK;
    hash = (rotateLeft(hash ^ lane, 11n) * PRIME_1) & MASK;
  }
  hash = ((hash ^ (hash >> 33n)) * PRIME_2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * PRIME_3) & MASK;
  return hash ^ (hash >> 32n);
}

/** The four accumulators over all whole stripes, folded into one. */
function stripesHash(view: DataView, end: number): bigint {
  const lanes = [PRIME_1 + PRIME_2, PRIME_2, 0n, -PRIME_1].map((start, index) =>
    laneOver(view, { start: start & MASK, from: index * 8, end }),
  );
  const [a = 0n, b = 0n, c = 0n, d = 0n] = lanes;
  let hash = rotateLeft(a, 1n) + rotateLeft(b, 7n) + rotateLeft(c, 12n) + rotateLeft(d, 18n);
  for (const lane of lanes) hash = ((hash ^ roundOf(0n, lane)) * PRIME_1 + PRIME_4) & MASK;
  return hash;
}

function roundOf(accumulator: bigint, lane: bigint): bigint {
  const sum = (accumulator + lane * PRIME_2) & MASK;
  return (rotateLeft(sum, 31n) * PRIME_1) & MASK;
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  const bounded = value & MASK;
  return ((bounded << bits) | (bounded >> (64n - bits))) & MASK;
}

/** One accumulator over every fourth word of 64 bits: `acc = rotl(acc + word · PRIME_2, 31) · PRIME_1`. */
function laneOver(
  view: DataView,
  range: { readonly start: bigint; readonly from: number; readonly end: number },
): bigint {
  const accumulator: Half = {
    high: Number(range.start >> 32n) | 0,
    low: Number(range.start & 0xffff_ffffn) | 0,
  };
  const product: Half = { high: 0, low: 0 };
  for (let at = range.from; at < range.end; at += 32) {
    product.low = view.getInt32(at, true);
    product.high = view.getInt32(at + 4, true);
    multiply(product, PRIME_2_HALF);
    const low = (accumulator.low >>> 0) + (product.low >>> 0);
    const high = (accumulator.high + product.high + (low > 0xffff_ffff ? 1 : 0)) | 0;
    const lowBits = low | 0;
    accumulator.high = (high << 31) | (lowBits >>> 1);
    accumulator.low = (lowBits << 31) | (high >>> 1);
    multiply(accumulator, PRIME_1_HALF);
  }
  return (BigInt(accumulator.high >>> 0) << 32n) | BigInt(accumulator.low >>> 0);
}

const PRIME_1_HALF: Half = { high: 0x9e3779b1 | 0, low: 0x85ebca87 | 0 };
const PRIME_2_HALF: Half = { high: 0xc2b2ae3d | 0, low: 0x27d4eb4f | 0 };

/** `value` times `factor` modulo 2^64, in place. */
function multiply(value: Half, factor: Half): void {
  const valueLow = value.low & 0xffff;
  const valueHigh = value.low >>> 16;
  const factorLow = factor.low & 0xffff;
  const factorHigh = factor.low >>> 16;
  // The upper half of the product of the low halves, from products of 16 bits that never exceed 2^53.
  const middle = valueHigh * factorLow + (((valueLow * factorLow) / 65536) >>> 0);
  const carry = (middle % 65536) + valueLow * factorHigh;
  const upper = valueHigh * factorHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536);
  value.high =
    (Math.imul(value.high, factor.low) + Math.imul(value.low, factor.high) + (upper | 0)) | 0;
  value.low = Math.imul(value.low, factor.low);
}
