import { WalnutError } from '../lib/walnut-error.ts';
import type { IncarnationName } from '../repository/layout.ts';
import {
  nameOfIncarnation,
  presentIncarnation,
  readServerRecord,
  type Incarnation,
} from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/**
 * The incarnation that a command works on: the one named, or the server's present one.
 * @throws WalnutError `config` for a server that was never initialized, `foreign-system` for an unknown incarnation.
 */
export async function findIncarnation(
  store: ObjectStore,
  server: string,
  name?: IncarnationName,
): Promise<Incarnation> {
  const record = await readServerRecord(store, server);
  if (record === null) {
    throw new WalnutError(
      'config',
      `find server ${server} in the repository: it is not known there`,
      {
        hint: `Run \`walnut init ${server}\` once; it notes which database system belongs to the name.`,
      },
    );
  }
  if (name === undefined) return presentIncarnation(record);
  const found = record.incarnations.find((incarnation) => nameOfIncarnation(incarnation) === name);
  if (found !== undefined) return found;
  const known = record.incarnations.map((incarnation) => nameOfIncarnation(incarnation));
  throw new WalnutError(
    'foreign-system',
    `find cluster ${name} of server ${server}: the repository knows ${known.join(', ')}`,
    {
      hint:
        `If the server was made anew (initdb, pg_upgrade), say so with \`walnut init ${server} --new-incarnation\`; ` +
        'else give the other server a name of its own.',
    },
  );
}
