import { RELATION_SEGMENT_BLOCKS } from '../postgres/cluster/relation-file.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { majorVersionOf } from '../postgres/version.ts';
import type { ServerFacts } from '../postgres/connection/server-facts.ts';
import {
  addIncarnation,
  presentIncarnation,
  readDescriptor,
  readServerRecord,
  type Incarnation,
} from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/**
 * The incarnation under which a server's data is kept: made at first sight. Another system identifier or major version under
 * a known name is refused: what looks like an upgrade may as well be the wrong host.
 */
export async function admitServer(
  store: ObjectStore,
  server: string,
  facts: Pick<ServerFacts, 'systemIdentifier' | 'serverVersionNum' | 'walSegmentBytes'>,
): Promise<Incarnation> {
  await readDescriptor(store);
  const seen = {
    systemIdentifier: String(facts.systemIdentifier),
    majorVersion: majorVersionOf(facts.serverVersionNum),
    walSegmentBytes: facts.walSegmentBytes,
  };
  const record = await readServerRecord(store, server);
  if (record === null) {
    const first = { ...seen, firstSeenAt: new Date().toISOString() };
    return presentIncarnation(await addIncarnation(store, server, first));
  }
  const known = presentIncarnation(record);
  const isSame =
    known.systemIdentifier === seen.systemIdentifier &&
    known.majorVersion === seen.majorVersion &&
    known.walSegmentBytes === seen.walSegmentBytes;
  if (isSame) return known;
  throw new WalnutError(
    'foreign-system',
    `recognise server ${server}: it is system ${seen.systemIdentifier} of PostgreSQL ${seen.majorVersion}, the repository ` +
      `knows system ${known.systemIdentifier} of PostgreSQL ${known.majorVersion}`,
    {
      hint:
        `If the server was upgraded or made anew on purpose, run \`walnut init ${server} --new-incarnation\`; ` +
        'otherwise check the connection in walnut.toml.',
    },
  );
}

/** Files of another size (`--with-segsize`) would be taken for other blocks than they hold. */
export function requireStandardSegments({
  relationSegmentBlocks,
}: {
  readonly relationSegmentBlocks: number;
}): void {
  if (relationSegmentBlocks === RELATION_SEGMENT_BLOCKS) return;
  throw new WalnutError(
    'unsupported',
    `back up a cluster with relation segments of ${relationSegmentBlocks} blocks`,
    {
      hint: 'Walnut supports the standard segment size of 1 GB only; use pg_basebackup for this server.',
    },
  );
}
