import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c } from '../../src/lib/hashing.ts';
import { parseControlFile } from '../../src/postgres/cluster/control-file.ts';
import {
  formatSegmentName,
  isSegmentName,
  parseSegmentName,
} from '../../src/postgres/segment-name.ts';
import { walVersionOf } from '../../src/postgres/wal/versions/lookup.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import type { TestCluster } from './cluster.ts';
import { changeControlFile } from './control-file.ts';

const LONG_HEADER_BYTES = 40;
const LONG_HEADER_FLAG = 2;
/** `checkPointCopy` in pg_control; its first field is the redo pointer. */
const CHECKPOINT_OFFSET = 40;
const CHECKPOINT_BYTES = 88;
const RECORD_HEADER_BYTES = 24;
/** XLR_BLOCK_ID_DATA_SHORT. */
const SHORT_DATA = 255;
/** A segment with nothing but the checkpoint record that it begins with. */
const SEGMENTS_SKIPPED = 1n;

/**
 * What pg_resetwal does to a cluster that was shut down in order (it is no part of the server's npm package): all WAL
 * goes, and a new segment begins with a shutdown checkpoint whose `xl_prev` is 0.
 */
export async function resetWal(cluster: TestCluster): Promise<void> {
  const folder = join(cluster.dataFolder, 'pg_wal');
  const names = (await readdir(folder)).filter(isSegmentName);
  let redo = 0n;
  let segmentBytes = 0;
  const control = await changeControlFile(cluster, (bytes) => {
    const before = parseControlFile(bytes);
    ({ walSegmentBytes: segmentBytes } = before);
    const last = names.map((name) => parseSegmentName(name, segmentBytes).number).toSorted(compare);
    const segment = (last.at(-1) ?? 0n) + SEGMENTS_SKIPPED;
    redo = segment * BigInt(segmentBytes) + BigInt(LONG_HEADER_BYTES);
    bytes.writeBigUInt64LE(redo, 32);
    bytes.writeBigUInt64LE(redo, CHECKPOINT_OFFSET);
  });
  for (const name of names) await rm(join(folder, name));
  const { timeline } = parseControlFile(control);
  const position = { timeline, number: redo / BigInt(segmentBytes) };
  const path = join(folder, formatSegmentName(position, segmentBytes));
  await writeFile(path, firstSegment(cluster, control, redo), { mode: 0o600 });
  await giveToUser(folder, cluster.server.user);
}

function firstSegment(cluster: TestCluster, control: Buffer, redo: bigint): Buffer {
  const { systemIdentifier, timeline, walSegmentBytes, walBlockSize } = parseControlFile(control);
  const segment = Buffer.alloc(walSegmentBytes);
  segment.writeUInt16LE(walVersionOf(cluster.major).pageMagic, 0);
  segment.writeUInt16LE(LONG_HEADER_FLAG, 2);
  segment.writeUInt32LE(timeline, 4);
  segment.writeBigUInt64LE(redo - BigInt(LONG_HEADER_BYTES), 8);
  segment.writeBigUInt64LE(systemIdentifier, 24);
  segment.writeUInt32LE(walSegmentBytes, 32);
  segment.writeUInt32LE(walBlockSize, 36);
  const checkpoint = control.subarray(CHECKPOINT_OFFSET, CHECKPOINT_OFFSET + CHECKPOINT_BYTES);
  checkpointRecord(checkpoint).copy(segment, LONG_HEADER_BYTES);
  return segment;
}

/** `XLogRecord` with zeros for xid, xl_prev, info (XLOG_CHECKPOINT_SHUTDOWN) and resource manager (XLOG). */
function checkpointRecord(checkpoint: Buffer): Buffer {
  const data = Buffer.concat([Buffer.of(SHORT_DATA, checkpoint.length), checkpoint]);
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  header.writeUInt32LE(RECORD_HEADER_BYTES + data.length, 0);
  header.writeUInt32LE(crc32c(header.subarray(0, 20), crc32c(data)), 20);
  return Buffer.concat([header, data]);
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
