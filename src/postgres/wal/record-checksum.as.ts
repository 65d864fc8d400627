// AssemblyScript: CRC-32C of WAL records. Built by scripts/build.ts; wal-buffers.ts is its only caller. WebAssembly has no
// instruction for it, but its table lookups cost two thirds of what JavaScript's do, and a call of it a tenth of a
// native one, for which most records are too short.

const POLYNOMIAL: u32 = 0x82f63b78;
const STRIDE: usize = 1024;
/** Sixteen tables of 256 entries: entry [k][b] is the checksum of byte b followed by k zero bytes. */
const TABLES: usize = memory.data(16 * 1024, 64);

/** Fills the tables: to be called once, first. */
export function prepare(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    store<u32>(TABLES + (<usize>byte << 2), crc);
  }
  for (let at: usize = TABLES + STRIDE; at < TABLES + 16 * STRIDE; at += 4) {
    const before = load<u32>(at - STRIDE);
    store<u32>(at, (before >> 8) ^ load<u32>(TABLES + ((before & 0xff) << 2)));
  }
}

// @ts-ignore: decorator
@inline
function entry(table: usize, byte: u32): u32 {
  return load<u32>(TABLES + table * STRIDE + (<usize>(byte & 0xff) << 2));
}

// @ts-ignore: decorator
@inline
function word(table: usize, value: u32): u32 {
  return (
    entry(table + 3, value) ^
    entry(table + 2, value >> 8) ^
    entry(table + 1, value >> 16) ^
    entry(table, value >> 24)
  );
}

/** The checksum goes in and comes out complemented. */
function run(initial: u32, begin: usize, end: usize): u32 {
  let crc = initial;
  let at = begin;
  for (; at + 16 <= end; at += 16) {
    crc =
      word(12, crc ^ load<u32>(at)) ^
      word(8, load<u32>(at, 4)) ^
      word(4, load<u32>(at, 8)) ^
      word(0, load<u32>(at, 12));
  }
  if (at + 8 <= end) {
    crc = word(4, crc ^ load<u32>(at)) ^ word(0, load<u32>(at, 4));
    at += 8;
  }
  if (at + 4 <= end) {
    crc = word(0, crc ^ load<u32>(at));
    at += 4;
  }
  for (; at < end; at++) crc = (crc >> 8) ^ entry(0, crc ^ load<u8>(at));
  return crc;
}

/** Whether the record of `total` bytes at `at` has the checksum that it says: src/include/access/xlogrecord.h. */
export function isIntact(at: usize, total: usize): bool {
  const body = run(~0, at + 24, at + total);
  return ~run(body, at, at + 20) == load<u32>(at, 20);
}
