/*
 * CRC-32C of two neighbouring runs of bytes from the checksums of each, as zlib does it for its polynomial
 * (crc32_combine_gen): appending n bytes multiplies a checksum by x^(8n) modulo the polynomial.
 */
const POLYNOMIAL = 0x82f6_3b78;
/** The polynomial 1: bits are reflected, so the highest bit is x^0. */
const ONE = 0x8000_0000;

/** The checksum of A followed by B, from those of A and B and the length of B. */
export function combineCrc32c(first: number, second: number, secondBytes: number): number {
  return (shiftCrc(first, secondBytes) ^ second) >>> 0;
}

/** The checksum of B, from those of A and of A followed by B. */
export function withoutPrefixCrc32c(whole: number, prefix: number, restBytes: number): number {
  return (whole ^ shiftCrc(prefix, restBytes)) >>> 0;
}

function shiftCrc(crc: number, bytes: number): number {
  let power = 0x0080_0000; // x^8
  let factor = ONE;
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) factor = multiply(power, factor);
    power = multiply(power, power);
  }
  return multiply(factor, crc);
}

/** The product of two polynomials modulo the CRC's. */
function multiply(first: number, second: number): number {
  let product = 0;
  let shifted = second;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((first & bit) !== 0) product ^= shifted;
    shifted = (shifted & 1) !== 0 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1;
  }
  return product >>> 0;
}
