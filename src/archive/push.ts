/**
 * `archive_command`: stores one file of `pg_wal`. When it resolves, the file is durable; storing the same content again
 * is no error, other content under the same name is one, and nothing is ever overwritten.
 */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { walIdentity } from '../catalog/segment-content.ts';
import { isBackupHistoryName } from '../catalog/wal-key.ts';
import { sealBlock } from '../catalog/seal-block.ts';
import { must } from '../lib/assert.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { isSegmentName, parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { parseHistoryFileName, parseTimelineHistory } from '../postgres/timeline-history.ts';
import { comparePartials } from '../postgres/wal/last-valid.ts';
import { readPageHeader } from '../postgres/wal/page-header.ts';
import { makeWalBuffers } from '../postgres/wal/wal-buffers.ts';
import { encodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { describeSegment, type SegmentFacts } from '../postgres/wal/segment-facts.ts';
import { walStopError } from '../postgres/wal/wal-stop.ts';
import { walKeys, type IncarnationName } from '../repository/layout.ts';
import { nameOfIncarnation, type Incarnation } from '../repository/repository.ts';
import { readWalObject, storeWalObject } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { findIncarnation } from './incarnation.ts';
import {
  explainForeign,
  newObjectMemory,
  placeOf,
  storeSegment,
  type NamedSegment,
  type WalDestination,
} from './store-segment.ts';

/** History files are a line per promotion; a `.backup` file has ten lines. */
const TEXT_FILE_BYTES_MAX = 4 * 1024 * 1024;

export type PushRequest = {
  readonly store: ObjectStore;
  readonly server: string;
  /** The file to store; relative to the working directory, as `%p` is. */
  readonly path: string;
  readonly level: number;
  /** Accept WAL of this cluster only; by default of the server's present one. */
  readonly incarnation?: IncarnationName | undefined;
};

export type PushOutcome = {
  readonly file: string;
  readonly outcome: 'stored' | 'existed';
  readonly bytes: number;
};

export async function pushWalFile(request: PushRequest): Promise<PushOutcome> {
  const { store, server, level, path } = request;
  const incarnation = await findIncarnation(store, server, request.incarnation);
  return pushFile({ store, server, incarnation, level }, path);
}

/** Memory for one file after the other: it saves new memory, and the garbage collector its work, for each of them. */
export type PushScratch = { readonly file: Buffer; readonly object: Uint8Array };

export function newPushScratch({ walSegmentBytes }: Incarnation): PushScratch {
  // One byte more shows a file that is too long.
  const [file] = makeWalBuffers(1, walSegmentBytes + 1);
  return {
    file: must(file, 'one buffer was asked for'),
    object: newObjectMemory(walSegmentBytes),
  };
}

/** As {@link pushWalFile}, for who pushes several files to one place. */
export async function pushFile(
  destination: WalDestination,
  path: string,
  scratch?: PushScratch,
): Promise<PushOutcome> {
  const file = basename(path);
  const plainName = file.replace(/\.partial$/, '');
  if (parseHistoryFileName(file) !== null || isBackupHistoryName(file)) {
    return pushText(destination, { file, path });
  }
  if (!isSegmentName(plainName)) {
    throw new WalnutError('usage', `push ${path}: "${file}" is no name of a WAL file`, {
      hint: 'Use archive_command = \'walnut wal push SERVER "%p"\'.',
    });
  }
  const bytes = await readSegmentFile(destination, path, scratch?.file);
  const outcome =
    plainName === file
      ? await pushSegment(destination, { name: file, bytes, into: scratch?.object })
      : await pushPartial(destination, { name: plainName, bytes });
  return { file, outcome: outcome === 'stored' ? 'stored' : 'existed', bytes: bytes.length };
}

async function pushText(
  destination: WalDestination,
  { file, path }: { readonly file: string; readonly path: string },
): Promise<PushOutcome> {
  const bytes = await readFileWithin(path, TEXT_FILE_BYTES_MAX);
  const timeline = parseHistoryFileName(file);
  if (timeline !== null) parseTimelineHistory(timeline, bytes);
  const { store, server, incarnation, level } = destination;
  const outcome = await storeWalObject(store, {
    key: walKeys.history(server, nameOfIncarnation(incarnation), file),
    kind: timeline === null ? 'backup-history' : 'timeline-history',
    plain: bytes,
    level,
  });
  return { file, outcome: outcome === 'stored' ? 'stored' : 'existed', bytes: bytes.length };
}

type NamedBytes = { readonly name: string; readonly bytes: Buffer };

async function pushSegment(
  destination: WalDestination,
  segment: NamedSegment,
): Promise<'stored' | 'present'> {
  const outcome = await storeSegment(destination, segment);
  const { store, server, incarnation } = destination;
  const position = parseSegmentName(segment.name, incarnation.walSegmentBytes);
  await sealBlock(store, { server, incarnation }, position);
  return outcome;
}

/**
 * A `.partial` file holds a timeline's last WAL up to a promotion, and chance behind it. A copy that says less than what
 * is stored is the same file; one that says more is kept beside it, as a piece.
 */
async function pushPartial(
  destination: WalDestination,
  { name, bytes }: NamedBytes,
): Promise<'stored' | 'present'> {
  const identity = walIdentity(destination.incarnation);
  const facts = describeSegment(bytes, { name, ...identity });
  refuseForeignPartial(destination, facts);
  const { store, level } = destination;
  const place = placeOf(destination, name);
  const key = walKeys.segment(place, `${name}.partial`);
  try {
    const encoded = encodeSegmentFacts(facts);
    return await storeWalObject(store, {
      key,
      kind: 'wal-partial',
      plain: bytes,
      facts: encoded,
      level,
    });
  } catch (error) {
    if (!hasCode(error, 'wal-conflict')) throw error;
    const stored = await readWalObject(store, key, 'wal-partial');
    const start = segmentStart(
      parseSegmentName(name, identity.segmentBytes).number,
      identity.segmentBytes,
    );
    const comparison = comparePartials(stored, bytes, { start, ...identity });
    if (comparison.kind === 'different') throw error;
    if (comparison.kind !== 'second-longer') return 'present';
    const length = Number(facts.validEnd - facts.startLsn);
    const piece = walKeys.piece(place, { segment: name, offset: 0, length });
    const plain = bytes.subarray(0, length);
    return storeWalObject(store, { key: piece, kind: 'wal-piece', plain, level });
  }
}

function refuseForeignPartial(destination: WalDestination, facts: SegmentFacts): void {
  const { stop } = facts;
  if (stop === undefined || stop.lsn > facts.startLsn) return;
  throw explainForeign(walStopError(`accept ${facts.name}.partial`, stop), destination);
}

/** Reads a segment file after its first page was found to belong to this server. */
async function readSegmentFile(
  destination: WalDestination,
  path: string,
  scratch?: Buffer,
): Promise<Buffer> {
  const { incarnation, server } = destination;
  const bytes = await readFileWithin(path, incarnation.walSegmentBytes, scratch);
  const long = readPageHeader(bytes)?.long;
  const isForeign =
    long !== undefined &&
    (long.systemIdentifier.toString() !== incarnation.systemIdentifier ||
      long.segmentBytes !== incarnation.walSegmentBytes);
  if (isForeign) {
    const problem = new WalnutError(
      'foreign-system',
      `push ${path} to server ${server}: it belongs to database system ${long.systemIdentifier} ` +
        `with segments of ${long.segmentBytes} bytes`,
    );
    throw explainForeign(problem, destination);
  }
  if (bytes.length !== incarnation.walSegmentBytes) {
    throw new WalnutError(
      'object-damaged',
      `push ${path}: it has ${bytes.length} bytes, a segment of server ${server} has ${incarnation.walSegmentBytes}`,
    );
  }
  return bytes;
}

/** The whole file; one longer than the limit is cut just behind it. */
async function readFileWithin(path: string, maxBytes: number, scratch?: Buffer): Promise<Buffer> {
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, maxBytes + 1);
      const content = scratch?.subarray(0, length) ?? Buffer.alloc(length);
      const { bytesRead } = await handle.read(content, 0, content.length, 0);
      return content.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new WalnutError(
      'failed',
      `read ${path}: ${error instanceof Error ? error.message : ''}`,
      {
        hint: 'The path is taken from the working directory, which for archive_command is the data directory.',
        cause: error,
      },
    );
  }
}
