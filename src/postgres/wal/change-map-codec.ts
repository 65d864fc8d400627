import type { ByteReader } from '../../lib/byte-reader.ts';
import type { ByteWriter } from '../../lib/byte-writer.ts';
import { CHUNK_BLOCKS } from './block-set.ts';
import { ChangeMap, type ForkIdentity } from './change-map.ts';
import type { ForkChanges } from './fork-changes.ts';

/*
 * A change map. Integers are little-endian; "varint" is unsigned LEB128.
 *
 *   varint   rewritten databases; each u32 tablespace, u32 database; ascending
 *   varint   forks, ascending by tablespace, database, relfilenode and fork; each:
 *     u8       bits 0–1 fork; bit 2 a limit block follows; bit 3 tablespace and database are those of the fork before
 *     u32 u32  tablespace, database, unless bit 3
 *     varint   relfilenode, less that of the fork before if bit 3
 *     varint   limit block, if bit 2
 *     varint   chunks of 65536 blocks, ascending; each:
 *       varint   number of the chunk, less (that of the chunk before + 1)
 *       varint   blocks; if 0, a bitmap of 8192 bytes, lowest bit first
 *       varint…  else each block in the chunk, less (the block before + 1)
 *
 * One map has one form: equal maps are equal bytes.
 */
const HAS_LIMIT = 0x04;
const SAME_DATABASE = 0x08;
const FLAGS_ALL = 0x0f;

/** From so many blocks on a bitmap is never longer than the list. */
const BITMAP_BLOCKS_MIN = 8192;
const BITMAP_BYTES = 8192;
const OID_MAX = 0xffff_ffff;
const CHUNK_MAX = 0xffff;

export function writeChangeMap(writer: ByteWriter, map: ChangeMap): void {
  const rewritten = map.rewrittenDatabases();
  writer.varint(rewritten.length);
  for (const { tablespaceOid, databaseOid } of rewritten) {
    writer.u32(tablespaceOid).u32(databaseOid);
  }
  const forks = map.forks().filter(({ limit, blockCount }) => limit !== null || blockCount > 0);
  writer.varint(forks.length);
  let before: ForkChanges | undefined;
  for (const fork of forks) {
    writeFork(writer, fork, before);
    before = fork;
  }
}

/** @throws RangeError when the bytes are not what {@link writeChangeMap} writes. */
export function readChangeMap(reader: ByteReader): ChangeMap {
  const map = new ChangeMap();
  for (let left = reader.varint(); left > 0; left -= 1) {
    map.rewrite({ tablespaceOid: reader.u32(), databaseOid: reader.u32() });
  }
  let before: ForkIdentity | undefined;
  for (let left = reader.varint(); left > 0; left -= 1) before = readFork(reader, map, before);
  return map;
}

function writeFork(writer: ByteWriter, fork: ForkChanges, before: ForkChanges | undefined): void {
  const isSame =
    before !== undefined &&
    before.tablespaceOid === fork.tablespaceOid &&
    before.databaseOid === fork.databaseOid;
  const { limit } = fork;
  writer.u8(fork.fork | (limit === null ? 0 : HAS_LIMIT) | (isSame ? SAME_DATABASE : 0));
  if (!isSame) writer.u32(fork.tablespaceOid).u32(fork.databaseOid);
  writer.varint(isSame ? fork.relfilenode - before.relfilenode : fork.relfilenode);
  if (limit !== null) writer.varint(limit);
  const chunks = fork.chunkNumbers();
  writer.varint(chunks.length);
  let next = 0;
  for (const chunk of chunks) {
    writer.varint(chunk - next);
    next = chunk + 1;
    const base = chunk * CHUNK_BLOCKS;
    writeChunk(writer, fork.blocks(base, base + CHUNK_BLOCKS), base);
  }
}

function writeChunk(writer: ByteWriter, blocks: Uint32Array, base: number): void {
  if (blocks.length >= BITMAP_BLOCKS_MIN) {
    const bitmap = new Uint8Array(BITMAP_BYTES);
    for (const block of blocks) {
      const at = (block - base) >>> 3;
      bitmap[at] = (bitmap[at] ?? 0) | (1 << ((block - base) & 7));
    }
    writer.varint(0).put(bitmap);
    return;
  }
  writer.varint(blocks.length);
  let next = base;
  for (const block of blocks) {
    writer.varint(block - next);
    next = block + 1;
  }
}

function readFork(
  reader: ByteReader,
  map: ChangeMap,
  before: ForkIdentity | undefined,
): ForkIdentity {
  const flags = reader.u8();
  if ((flags & ~FLAGS_ALL) !== 0) throw new RangeError(`unknown fork flags ${flags}`);
  const isSame = (flags & SAME_DATABASE) !== 0;
  if (isSame && before === undefined) throw new RangeError('no database precedes the same one');
  const { tablespaceOid, databaseOid } =
    isSame && before !== undefined
      ? before
      : { tablespaceOid: reader.u32(), databaseOid: reader.u32() };
  const relfilenode = reader.varint() + (isSame ? (before?.relfilenode ?? 0) : 0);
  if (relfilenode > OID_MAX) throw new RangeError(`impossible relfilenode ${relfilenode}`);
  const identity = { tablespaceOid, databaseOid, relfilenode, fork: flags & 0x03 };
  if ((flags & HAS_LIMIT) !== 0) map.limit(identity, reader.varint());
  let chunk = -1;
  for (let left = reader.varint(); left > 0; left -= 1) {
    chunk += 1 + reader.varint();
    if (chunk > CHUNK_MAX) throw new RangeError(`impossible chunk ${chunk}`);
    readChunk(reader, chunk, (block) => map.mark(identity, block));
  }
  return identity;
}

function readChunk(reader: ByteReader, chunk: number, mark: (block: number) => void): void {
  const base = chunk * CHUNK_BLOCKS;
  const count = reader.varint();
  if (count === 0) {
    for (const [at, byte] of reader.take(BITMAP_BYTES).entries()) {
      for (let bit = 0; bit < 8; bit += 1) {
        if ((byte & (1 << bit)) !== 0) mark(base + at * 8 + bit);
      }
    }
    return;
  }
  let block = base - 1;
  for (let left = count; left > 0; left -= 1) {
    block += 1 + reader.varint();
    if (block >= base + CHUNK_BLOCKS) throw new RangeError(`impossible block ${block}`);
    mark(block);
  }
}
