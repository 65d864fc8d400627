import { pickOne, randomBelow } from '../random.ts';
import { rollBackPrepared } from '../roll-back-prepared.ts';
import {
  anyDatabase,
  anyTable,
  anyTablespace,
  databaseNames,
  relationNames,
  ROW_COLUMNS,
  rowsQuery,
  type Work,
  type WorkContext,
} from './work-context.ts';

const DATABASES_MAX = 5;
const PREPARED_MAX = 5;
const CATALOGS = ['pg_class', 'pg_attribute', 'pg_type', 'pg_proc', 'pg_database', 'pg_index'];

/** Work on databases, catalogues and what belongs to the cluster as a whole. */
export const CLUSTER_WORK: Readonly<Record<string, Work>> = {
  async createDatabase(context) {
    const { cluster, client, random } = context;
    const names = await databaseNames(cluster);
    if (names.length >= DATABASES_MAX) return;
    const template = pickOne(random, ['template0', 'template1', 'shop']);
    if (template === 'shop') await leaveAlone(context, template);
    const strategy =
      cluster.major >= 15 ? `strategy ${pickOne(random, ['wal_log', 'file_copy'])}` : '';
    // Refused where tables of the template stand in a tablespace that would become the default.
    const place = template === 'shop' ? '' : anyTablespace(random);
    if (context.database === template) return;
    const name = `extra ${randomBelow(random, 1_000_000)}`;
    await client.query(`create database "${name}" template "${template}" ${strategy} ${place}`);
    if (strategy.endsWith('wal_log')) await rebuildRangeMaps(context, name);
  },
  async dropDatabase(context) {
    const extras = (await databaseNames(context.cluster)).filter(
      (name) => name.startsWith('extra') && name !== context.database,
    );
    if (extras.length === 0) return;
    const name = pickOne(context.random, extras);
    await rollBackPrepared(context.cluster, name);
    await context.client.query(`drop database "${name}" with (force)`);
  },
  async moveDatabase(context) {
    const extras = (await databaseNames(context.cluster)).filter(
      (name) => name.startsWith('extra') && name !== context.database,
    );
    if (extras.length === 0) return;
    const name = pickOne(context.random, extras);
    const place = pickOne(context.random, ['pg_default', '"space one"', '"space two"']);
    await leaveAlone(context, name);
    // Refused when some of its tables stand in the new place already: as good as no work.
    await context.client.query(`alter database "${name}" set tablespace ${place}`).catch(() => {});
  },
  async prepare(context) {
    const { client, random } = context;
    const { rows } = await client.query('select gid from pg_prepared_xacts');
    if (rows.length >= PREPARED_MAX) return;
    const gid = `prepared ${randomBelow(random, 1_000_000)}`;
    await client.query(`create table if not exists public.prepared (${PREPARED_COLUMNS})`);
    await client.query(
      `begin; insert into public.prepared (${ROW_COLUMNS}) ${rowsQuery(random, 100)}; prepare transaction '${gid}'`,
    );
  },
  async finishPrepared(context) {
    const { rows } = await context.client.query<{ gid: string }>(
      `select gid from pg_prepared_xacts where database = current_database() order by gid`,
    );
    if (rows.length === 0) return;
    const act = pickOne(context.random, ['commit', 'rollback']);
    await context.client.query(`${act} prepared '${pickOne(context.random, rows).gid}'`);
  },
  async largeObjects({ client, random }) {
    const salt = randomBelow(random, 1_000_000);
    await client.query(
      `select lo_from_bytea(0, decode(repeat(md5(n::text || ${salt}), 40 * n), 'hex')) from generate_series(1, 12) n`,
    );
    await client.query(
      `select lo_put(oid, 100, '\\xabcdef') from (select oid from pg_largeobject_metadata order by oid limit 3) as first;
       select lo_unlink(oid) from (select oid from pg_largeobject_metadata order by oid limit 4) as first`,
    );
  },
  async sequences(context) {
    const { client, random } = context;
    await client.query(
      `create sequence if not exists public.numbers increment 3;
       select nextval('public.numbers') from generate_series(1, ${1 + randomBelow(random, 80)})`,
    );
    const [name] = await relationNames(context, { kinds: 'S' });
    if (name !== undefined)
      await client.query(
        `alter sequence ${name} restart with ${1_000_000 + randomBelow(random, 1000)}`,
      );
  },
  async materializedView(context) {
    const table = await anyTable(context);
    await context.client.query(
      `drop materialized view if exists public.summary;
       create materialized view public.summary as select key, count(*) from ${table} group by key;
       create unique index on public.summary (key)`,
    );
    await context.client.query('refresh materialized view concurrently public.summary');
    await context.client.query('drop materialized view public.summary');
  },
  async temporaryTables({ client, random }) {
    await client.query(
      `create temporary table passing as ${rowsQuery(random, 500)}; create index on passing (md5); drop table passing`,
    );
  },
  async catalogs({ client, random }) {
    const act = pickOne(random, ['vacuum full', 'vacuum freeze', 'reindex table']);
    await client.query(`${act} pg_catalog.${pickOne(random, CATALOGS)}`);
  },
  async reindexSystem({ client, database }) {
    await client.query(`reindex system "${database}"`);
  },
  async roles({ client, random }) {
    const name = `role_${randomBelow(random, 1_000_000)}`;
    await client.query(`create role ${name}; comment on role ${name} is 'of a round'`);
    if (randomBelow(random, 2) === 0) await client.query(`drop role ${name}`);
  },
  async vacuumAll({ client, random }) {
    await client.query(`vacuum ${pickOne(random, ['', 'freeze', 'analyze'])}`);
  },
  async checkpoint({ client }) {
    await client.query('checkpoint');
  },
  async switchWal({ client }) {
    await client.query('select pg_switch_wal()');
  },
  async dropSchema({ client, random }) {
    const schema = `schema_${randomBelow(random, 3)}`;
    if (randomBelow(random, 3) === 0) await client.query(`drop schema if exists ${schema} cascade`);
    else await client.query(`create schema if not exists ${schema}`);
  },
  async ginPending(context) {
    await context.client.query(
      `select gin_clean_pending_list(c.oid) from pg_class c join pg_am a on a.oid = c.relam
       where a.amname = 'gin' and c.relkind = 'i' and c.relpersistence = 'p'`,
    );
  },
  async brinRanges({ client }) {
    await client.query(
      `select brin_summarize_new_values(c.oid) from pg_class c join pg_am a on a.oid = c.relam
       where a.amname = 'brin' and c.relkind = 'i' and c.relpersistence <> 't'`,
    );
    await client.query(
      `select brin_desummarize_range(c.oid, 0) from pg_class c join pg_am a on a.oid = c.relam
       where a.amname = 'brin' and c.relkind = 'i' and c.relpersistence <> 't'`,
    );
  },
  /** So that a database without tables does not stay so. */
  async anywhere(context) {
    const database = await anyDatabase(context);
    const client = await context.cluster.connect({ database });
    try {
      await TABLE_INSERT({ ...context, client, database });
    } finally {
      await client.end();
    }
  },
};

const TABLE_INSERT: Work = async (context) => {
  const table = await anyTable(context);
  await context.client.query(
    `insert into ${table} (${ROW_COLUMNS}) ${rowsQuery(context.random, 50)}`,
  );
};

const PREPARED_COLUMNS =
  'id bigserial, key int, name text, tags text[], place point, span int4range, doc jsonb, body text';

/**
 * Since 15 the WAL of a database made by `wal_log` lacks the entries of its BRIN range maps, so that a server that made
 * it and one that replays it differ: each page is logged without what lies between its lower and upper bound
 * (RelationCopyStorageUsingBuffer in src/backend/storage/buffer/bufmgr.c), and a range map has its entries there.
 */
async function rebuildRangeMaps({ cluster }: WorkContext, database: string): Promise<void> {
  const client = await cluster.connect({ database });
  try {
    const { rows } = await client.query<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c join pg_am a on a.oid = c.relam
       where a.amname = 'brin' and c.relkind = 'i' order by c.oid`,
    );
    for (const { name } of rows) await client.query(`reindex index ${name}`);
  } finally {
    await client.end();
  }
}

/** So that the database can be copied or moved. */
async function leaveAlone({ cluster, client }: WorkContext, database: string): Promise<void> {
  await rollBackPrepared(cluster, database);
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()`,
    [database],
  );
}
