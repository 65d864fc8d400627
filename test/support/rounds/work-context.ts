import type { Client } from 'pg';
import type { TestCluster } from '../cluster.ts';
import { pickOne, randomBelow, type Random } from '../random.ts';

/** What a piece of work acts on: one database of the cluster, by a session of its own. */
export type WorkContext = {
  readonly cluster: TestCluster;
  readonly database: string;
  readonly client: Client;
  readonly random: Random;
  /** Belongs to the servers' user: for COPY. */
  readonly folder: string;
};

/** Work that a round draws: whatever it draws itself, it draws from the context's generator. */
export type Work = (context: WorkContext) => Promise<void>;

/** Outside the data folder, made before the first backup: each restore puts them into folders of its own. */
export const ROUND_TABLESPACES = ['space one', 'space two'] as const;

/** Quoted names of the user's relations whose `pg_class.relkind` and `relpersistence` are asked for, in a fixed order. */
export async function relationNames(
  { client }: WorkContext,
  { kinds = 'r', persistence = 'pu' }: { kinds?: string; persistence?: string } = {},
): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     where strpos($1, c.relkind::text) > 0 and strpos($2, c.relpersistence::text) > 0
       and n.nspname like 'schema\\_%' order by n.nspname, c.relname`,
    [kinds, persistence],
  );
  return rows.map(({ name }) => name);
}

/** A table of the database with the columns of {@link createTable}; makes one where there is none. */
export async function anyTable(context: WorkContext): Promise<string> {
  const names = await tableNames(context);
  return names.length === 0 ? await createTable(context) : pickOne(context.random, names);
}

/** Quoted names of the tables that {@link createTable} made. */
export async function tableNames(context: WorkContext): Promise<string[]> {
  return (await relationNames(context)).filter((name) => name.includes('.table_'));
}

/** Quoted names of valid indexes of the user's tables. */
export async function indexNames(context: WorkContext): Promise<string[]> {
  return await relationNames(context, { kinds: 'i' });
}

export async function anyDatabase({ cluster, random }: WorkContext): Promise<string> {
  const names = await databaseNames(cluster);
  return pickOne(random, names);
}

/** Every database that work may use, in a fixed order. */
export async function databaseNames(cluster: TestCluster): Promise<string[]> {
  const rows = await cluster.sql<{ datname: string }>(
    `select datname from pg_database where not datistemplate order by datname collate "C"`,
  );
  return rows.map(({ datname }) => datname);
}

export function anySchema(random: Random): string {
  return `schema_${randomBelow(random, 3)}`;
}

const BLOOM_INDEX = 'bloom (key, name)';

const INDEXES = [
  'btree (key, name)',
  'btree (lower(name)) where key > 300',
  'hash (name)',
  'gin (tags)',
  'gin (doc jsonb_path_ops) with (fastupdate = on)',
  'gist (place)',
  'gist (span)',
  'spgist (place)',
  'spgist (name)',
  'brin (id) with (pages_per_range = 2)',
  'brin (name) with (autosummarize = off)',
  BLOOM_INDEX,
] as const;

/** Makes a table with some of all kinds of indexes and answers its quoted name. */
export async function createTable(context: WorkContext, kind = ''): Promise<string> {
  const { client, random } = context;
  const schema = anySchema(random);
  const name = `${schema}.table_${randomBelow(random, 1_000_000)}`;
  const options = pickOne(random, [
    '',
    'with (fillfactor = 50)',
    'with (toast_tuple_target = 256)',
  ]);
  await client.query(
    `create schema if not exists ${schema};
     create extension if not exists bloom schema pg_catalog;
     create ${kind} table ${name} (
       id bigserial primary key, key int, name text, tags text[], place point, span int4range, doc jsonb, body text
     ) ${options} ${anyTablespace(random)}`,
  );
  for (const definition of INDEXES) {
    if (randomBelow(random, 3) === 0) await createIndex(context, name, definition);
  }
  await fillTable(context, name, 200 + randomBelow(random, 1500));
  return name;
}

/** Larger than what one worker copies at once, four rows to a page: {@link scatter} changes thousands of pages. */
const LARGE_TABLE = 'schema_0.table_large';
const LARGE_ROWS = 21_000;
const ROWS_PER_PAGE = 4;

/** A table of some 40 MB. */
export async function createLargeTable({ client }: WorkContext): Promise<void> {
  await client.query(
    `create schema if not exists schema_0;
     create table ${LARGE_TABLE} (
       id bigserial primary key, key int, name text, tags text[], place point, span int4range, doc jsonb, body text
     );
     alter table ${LARGE_TABLE} alter column body set storage plain;
     insert into ${LARGE_TABLE} (key, name, body)
       select n % 1000, md5(n::text), repeat(md5(n::text), 58) from generate_series(1, ${LARGE_ROWS}) n`,
  );
}

/** Changes every other page, or few pages far from each other, of the large table; of another one where there is none. */
export async function scatter(context: WorkContext): Promise<void> {
  const names = await tableNames(context);
  const table = names.includes(LARGE_TABLE) ? LARGE_TABLE : await anyTable(context);
  const each = ROWS_PER_PAGE * pickOne(context.random, [2, 2, 7, 300]);
  await context.client.query(`update ${table} set key = key + 1 where id % ${each} = 0`);
}

/**
 * None where it would be a bloom index of an unlogged table. Since 16 PostgreSQL writes no WAL for what the init fork of
 * such an index holds (`blbuildempty` in contrib/bloom/blinsert.c leaves it to generic WAL, which an unlogged index does
 * not write): after a crash, or on a standby, it is zeros, and whatever uses the table fails with "Relation is not a
 * bloom index".
 */
export async function createIndex(
  { client, random }: WorkContext,
  table: string,
  definition: string = pickOne(random, INDEXES),
): Promise<void> {
  if (definition === BLOOM_INDEX && (await isUnlogged(client, table))) return;
  const concurrently = pickOne(random, ['', '', 'concurrently']);
  const [columns = '', condition] = definition.split(' where ');
  const where = condition === undefined ? '' : `where ${condition}`;
  await client.query(
    `create index ${concurrently} on ${table} using ${columns} ${anyTablespace(random)} ${where}`,
  );
}

async function isUnlogged(client: Client, table: string): Promise<boolean> {
  const { rows } = await client.query(
    `select from pg_class where oid = '${table}'::regclass and relpersistence = 'u'`,
  );
  return rows.length > 0;
}

/** For a table that becomes unlogged: see {@link createIndex}. */
export async function dropBloomIndexes({ client }: WorkContext, table: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indexrelid
     join pg_am a on a.oid = c.relam where i.indrelid = '${table}'::regclass and a.amname = 'bloom'`,
  );
  for (const { name } of rows) await client.query(`drop index ${name}`);
}

/** Sometimes `tablespace …`. */
export function anyTablespace(random: Random): string {
  return randomBelow(random, 4) === 0 ? `tablespace "${pickOne(random, ROUND_TABLESPACES)}"` : '';
}

/** Rows whose values depend on the draw alone; one in fifty has a value out of line that does not compress. */
export function rowsQuery(random: Random, rows: number): string {
  const salt = randomBelow(random, 1_000_000);
  return `select (n * 7919::bigint + ${salt}) % 1000, md5((n + ${salt})::text),
    array['tag ' || n % 17, 'tag ' || (n * ${salt}::bigint) % 23], point(n % 101, (n * 31 + ${salt}) % 103),
    int4range((n % 500)::int, (n % 500)::int + 1 + ${salt} % 40), jsonb_build_object('n', n % 29, 'salt', ${salt}),
    case when n % 50 = 0
         then (select string_agg(md5(n::text || part || ${salt}), '') from generate_series(1, 250) part)
         else repeat('walnut ', (n % 12)::int) end
    from generate_series(1, ${rows}) n`;
}

export const ROW_COLUMNS = 'key, name, tags, place, span, doc, body';

export async function fillTable(
  { client, random }: WorkContext,
  table: string,
  rows: number,
): Promise<void> {
  await client.query(`insert into ${table} (${ROW_COLUMNS}) ${rowsQuery(random, rows)}`);
}
