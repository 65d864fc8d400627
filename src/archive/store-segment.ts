import { walIdentity } from '../catalog/segment-content.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { parseSegmentName } from '../postgres/segment-name.ts';
import { encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import { encodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import { SegmentDescriber, segmentProblem } from '../postgres/wal/segment-facts.ts';
import { walKeys, type WalPlace } from '../repository/layout.ts';
import { nameOfIncarnation, type Incarnation } from '../repository/repository.ts';
import { storeWalObject } from '../repository/wal-object.ts';
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
};

/**
 * Checks a whole segment (pages, system, size, checksums and links of all records) and stores it durably with its facts
 * and changes.
 * Throws `foreign-system`, `object-damaged`, or `wal-conflict` when other content is stored under the name.
 */
export async function storeSegment(
  destination: WalDestination,
  { name, bytes }: NamedSegment,
): Promise<'stored' | 'present'> {
  const describer = new SegmentDescriber({ name, ...walIdentity(destination.incarnation) });
  describer.feed(bytes);
  const facts = describer.finish();
  const problem = segmentProblem(facts);
  if (problem !== undefined) throw explainForeign(problem, destination);
  const changes = describer.changes();
  return storeWalObject(destination.store, {
    key: walKeys.segment(placeOf(destination, name), name),
    kind: 'wal-segment',
    plain: bytes,
    facts: encodeSegmentFacts(facts),
    changes: changes && encodeChangeSpan(changes),
    level: destination.level,
  });
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
