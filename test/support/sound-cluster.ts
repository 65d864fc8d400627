import type { Client } from 'pg';
import { messageOf } from '../../src/lib/walnut-error.ts';
import type { TestCluster } from './cluster.ts';
import { rollBackPrepared } from './roll-back-prepared.ts';

/** More are not told one by one. */
const FINDINGS_MAX = 20;

const HEAPS = `from pg_class c where relkind in ('r', 't', 'm') and relpersistence <> 't'`;
const VALID_INDEXES = `from pg_class c join pg_am a on a.oid = c.relam join pg_index i on i.indexrelid = c.oid
  where c.relkind = 'i' and c.relpersistence <> 't' and i.indisvalid`;

/**
 * What PostgreSQL's own checkers find wrong in any database of a running primary: `verify_heapam` (from 14),
 * `bt_index_parent_check` with all heap rows looked up, `gin_index_check` (from 18), `pg_check_visible` and
 * `pg_check_frozen`. Empty when all is well. Transactions that are still prepared are rolled back, for they hold locks.
 */
export async function unsoundParts(cluster: TestCluster): Promise<string[]> {
  const databases = await cluster.sql<{ datname: string }>(
    'select datname from pg_database where datallowconn order by 1',
  );
  // All of them first: an old one makes everything younger look as if not everybody saw it, in every database.
  for (const { datname: database } of databases) await rollBackPrepared(cluster, database);
  const findings: string[] = [];
  for (const { datname: database } of databases) {
    const client = await cluster.connect({ database });
    try {
      const found = await unsoundPartsOf(client, cluster.major);
      findings.push(...found.map((finding) => `${database}: ${finding}`));
    } finally {
      await client.end();
    }
  }
  return findings.slice(0, FINDINGS_MAX);
}

async function unsoundPartsOf(client: Client, major: number): Promise<string[]> {
  await client.query(`set client_min_messages = warning; set lock_timeout = '60 s'`);
  for (const name of ['amcheck', 'pg_visibility']) {
    await client.query(`create extension if not exists ${name} schema pg_catalog`);
  }
  const found = await rowsOf(
    client,
    `select 'pg_check_visible', c.oid::regclass, pg_check_visible(c.oid) ${HEAPS}`,
  );
  found.push(
    ...(await rowsOf(
      client,
      `select 'pg_check_frozen', c.oid::regclass, pg_check_frozen(c.oid) ${HEAPS}`,
    )),
  );
  if (major >= 14) {
    const check = `select 'verify_heapam', c.oid::regclass, verify_heapam(c.oid) ${HEAPS}`;
    found.push(...(await rowsOf(client, check)));
  }
  found.push(...(await indexFindings(client, 'btree', 'bt_index_parent_check(%s, true, false)')));
  if (major >= 18) found.push(...(await indexFindings(client, 'gin', 'gin_index_check(%s)')));
  return found;
}

async function rowsOf(client: Client, query: string): Promise<string[]> {
  try {
    const { rows } = await client.query<unknown[]>({ text: query, rowMode: 'array' });
    return rows.map((row) => row.join(' '));
  } catch (error) {
    return [`${query.split(',')[0] ?? ''}: ${messageOf(error)}`];
  }
}

/** These checkers raise an error for what they find, so each index has a statement of its own. */
async function indexFindings(client: Client, method: string, check: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string; call: string }>(
    `select c.oid::regclass::text as name, format('select ${check}', c.oid) as call ${VALID_INDEXES}
     and a.amname = '${method}'`,
  );
  const findings: string[] = [];
  for (const { name, call } of rows) {
    await client.query(call).catch((error: unknown) => {
      findings.push(`${method} index ${name}: ${messageOf(error)}`);
    });
  }
  return findings;
}
