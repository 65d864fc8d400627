/** Finds out which table or index a damaged block belongs to: the person at three in the morning knows names, not files. */
import {
  classifyFile,
  GLOBAL_TABLESPACE_OID,
  RELATION_SEGMENT_BLOCKS,
} from '../postgres/cluster/relation-file.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { ServerFacts } from '../postgres/connection/server-facts.ts';
import type { PageDamage } from '../repository/manifest.ts';
import type { BlockDamage } from './copy-messages.ts';

/** Names are a courtesy: after this many lookups the rest goes without. */
const LOOKUPS_MAX = 200;
const SQL =
  "SELECT current_database() || '.' || n.nspname || '.' || c.relname AS name FROM pg_class c " +
  'JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = pg_filenode_relation($1, $2)';

export async function nameDamage(
  damage: readonly BlockDamage[],
  settings: ConnectionSettings,
  facts: ServerFacts,
): Promise<PageDamage[]> {
  const names = new Map<string, string | null>();
  for (const { path } of damage) {
    if (names.has(path)) continue;
    const mayAsk = names.size < LOOKUPS_MAX;
    names.set(path, mayAsk ? await nameOf(path, settings, facts) : null);
  }
  return damage.map(({ path, block }) => ({
    file: path,
    block: segmentOf(path) * RELATION_SEGMENT_BLOCKS + block,
    relation: names.get(path) ?? null,
  }));
}

async function nameOf(
  path: string,
  settings: ConnectionSettings,
  facts: ServerFacts,
): Promise<string | null> {
  const file = classifyFile(path);
  // Without SQL nobody can be asked.
  if (file.kind !== 'relation' || facts.databases === null) return null;
  const isShared = file.tablespaceOid === GLOBAL_TABLESPACE_OID;
  const database = isShared
    ? settings.database
    : facts.databases.find(({ oid }) => oid === file.databaseOid)?.name;
  if (database === undefined) return null;
  try {
    const session = await openSession(settings, { applicationName: 'walnut backup', database });
    try {
      const parameters = [file.tablespaceOid, file.relfilenode];
      const rows = await session.query<{ name: string }>(SQL, { parameters });
      return rows[0]?.name ?? null;
    } finally {
      await session.close();
    }
  } catch {
    // The role may not connect to that database, or the database is the damaged one.
    return null;
  }
}

function segmentOf(path: string): number {
  const file = classifyFile(path);
  return file.kind === 'relation' ? file.segment : 0;
}
