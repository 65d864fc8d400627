import { setImmediate } from 'node:timers/promises';
import { walIdentity } from '../catalog/segment-content.ts';
import { alignedBuffer } from '../lib/aligned-buffer.ts';
import { Turns } from '../lib/turns.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { parseSegmentName } from '../postgres/segment-name.ts';
import { encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import { encodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { SegmentDescriber, segmentProblem } from '../postgres/wal/segment-facts.ts';
import { walKeys, type WalPlace } from '../repository/layout.ts';
import { nameOfIncarnation, type Incarnation } from '../repository/repository.ts';
import {
  putSealedWal,
  sealWalObject,
  type NewWalObject,
  type SealedWalObject,
} from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** Where WAL of one server goes. */
export type WalDestination = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly incarnation: Incarnation;
  /** zstd level. */
  readonly level: number;
};

export type NamedSegment = {
  /** 24 hexadecimal digits. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Memory that saves new memory for the stored form. */
  readonly into?: Uint8Array | undefined;
};

/** What facts, changes and headers of blocks add to all but the most unusual segments. */
const OBJECT_OVERHEAD_BYTES: number = 1024 * 1024;

/** Memory for the stored forms of segments, one after the other; a file system takes it past its page cache. */
export function newObjectMemory(walSegmentBytes: number): Uint8Array {
  return alignedBuffer(walSegmentBytes + OBJECT_OVERHEAD_BYTES);
}

/** How much is walked before the thread does what else waits; whole pages. */
const STEP_BYTES: number = 1024 * 1024;

/**
 * Of several segments that a thread stores, one is walked and compressed while the others wait for the disk. Without
 * turns all of them would come to the disk at the same time, and without pauses they could not go on there.
 */
const turns = new Turns();
const pause = async (): Promise<void> => setImmediate();

/**
 * Checks a whole segment (pages, system, size, checksums and links of all records) and stores it durably with its facts
 * and changes.
 * Throws `foreign-system`, `object-damaged`, or `wal-conflict` when other content is stored under the name.
 */
export async function storeSegment(
  destination: WalDestination,
  segment: NamedSegment,
): Promise<'stored' | 'present'> {
  const sealed = await turns.take(async () => describeAndSeal(destination, segment));
  return putSealedWal(destination.store, sealed);
}

async function describeAndSeal(
  destination: WalDestination,
  { name, bytes, into }: NamedSegment,
): Promise<SealedWalObject> {
  const describer = new SegmentDescriber({ name, ...walIdentity(destination.incarnation) });
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    describer.feed(bytes.subarray(at, at + STEP_BYTES));
    await pause();
  }
  const facts = describer.finish();
  const problem = segmentProblem(facts);
  if (problem !== undefined) throw explainForeign(problem, destination);
  const changes = describer.changes();
  const object: NewWalObject = {
    key: walKeys.segment(placeOf(destination, name), name),
    kind: 'wal-segment',
    plain: bytes,
    facts: encodeSegmentFacts(facts),
    changes: changes && encodeChangeSpan(changes),
    level: destination.level,
    into,
  };
  return sealWalObject(object, pause);
}

export function placeOf({ server, incarnation }: WalDestination, segment: string): WalPlace {
  const { timeline } = parseSegmentName(segment, incarnation.walSegmentBytes);
  return { server, incarnation: nameOfIncarnation(incarnation), timeline };
}

/** Adds to an error about another database system what a person can do about it. */
export function explainForeign(problem: WalnutError, destination: WalDestination): WalnutError {
  if (problem.code !== 'foreign-system') return problem;
  const { server, incarnation } = destination;
  return new WalnutError('foreign-system', problem.message, {
    hint:
      `The repository knows server ${server} as system ${incarnation.systemIdentifier}, PostgreSQL ` +
      `${incarnation.majorVersion}, with WAL segments of ${incarnation.walSegmentBytes} bytes. If the server was made ` +
      `anew (initdb, pg_upgrade), say so with \`walnut init ${server} --new-incarnation\`; else give the other server ` +
      'a name of its own.',
    cause: problem,
    details: problem.details,
  });
}
