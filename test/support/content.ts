import type { Client } from 'pg';
import type { TestCluster } from './cluster.ts';

type TableContent = { readonly rows: number; readonly checksum: string };

type SequenceContent = { readonly at: number; readonly increment: number };

/** What a database holds, in a form that two servers can be compared by. */
export type DatabaseContent = {
  /** Permanent tables and materialized views by qualified name; unlogged ones come back empty from any backup and are left out. */
  readonly tables: Readonly<Record<string, TableContent>>;
  readonly largeObjects: TableContent;
  readonly sequences: Readonly<Record<string, SequenceContent>>;
  /** Definitions of all indexes, by qualified name; invalid ones carry that mark. */
  readonly indexes: Readonly<Record<string, string>>;
};

export type ClusterContent = Readonly<Record<string, DatabaseContent>>;

/** A sequence logs this many values ahead (`SEQ_LOG_VALS` in src/backend/commands/sequence.c): recovery skips to them. */
const SEQUENCE_AHEAD = 32;

const SESSION_SETTINGS = `
  set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set bytea_output = 'hex';
  set extra_float_digits = 3; set statement_timeout = 0; set enable_indexscan = off; set enable_bitmapscan = off;
  set enable_indexonlyscan = off`;

const USER_SCHEMA = `n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'`;

/** The content of every database that accepts connections, computed on the server from the heaps alone. */
export async function contentOf(cluster: TestCluster): Promise<ClusterContent> {
  const rows = await cluster.sql<{ datname: string }>(
    'select datname from pg_database where datallowconn and not datistemplate order by 1',
  );
  const contents: Record<string, DatabaseContent> = {};
  for (const { datname } of rows) contents[datname] = await checksumOf(cluster, datname);
  return contents;
}

/** The content of one database, in one snapshot. */
async function checksumOf(cluster: TestCluster, database: string): Promise<DatabaseContent> {
  const client = await cluster.connect({ database });
  try {
    await client.query(SESSION_SETTINGS);
    await client.query('begin isolation level repeatable read read only');
    const tables: Record<string, TableContent> = {};
    for (const name of await namesOf(client, 'rm')) tables[name] = await checksumRows(client, name);
    const sequences: Record<string, SequenceContent> = {};
    for (const name of await namesOf(client, 'S')) {
      sequences[name] = await readSequence(client, name);
    }
    const largeObjects = await checksumRows(client, 'pg_catalog.pg_largeobject');
    return { tables, sequences, largeObjects, indexes: await indexesOf(client) };
  } finally {
    await client.end();
  }
}

/** In words, how the content of a restored cluster differs from what it had to be; empty when it is right. */
export function contentDifferences(expected: ClusterContent, restored: ClusterContent): string[] {
  const databases = differingKeys('database', expected, restored);
  const inside = Object.keys(expected).flatMap((name) => {
    const [wanted, found] = [expected[name], restored[name]];
    if (wanted === undefined || found === undefined) return [];
    return databaseDifferences(wanted, found).map((difference) => `${name}: ${difference}`);
  });
  return [...databases, ...inside];
}

function databaseDifferences(expected: DatabaseContent, restored: DatabaseContent): string[] {
  return [
    ...valueDifferences('table', expected.tables, restored.tables),
    ...valueDifferences('index', expected.indexes, restored.indexes),
    ...valueDifferences(
      'table',
      { pg_largeobject: expected.largeObjects },
      { pg_largeobject: restored.largeObjects },
    ),
    ...differingKeys('sequence', expected.sequences, restored.sequences),
    ...Object.entries(expected.sequences).flatMap(([name, { at, increment }]) => {
      const found = restored.sequences[name]?.at ?? at;
      const right = found >= at && found <= at + SEQUENCE_AHEAD * increment;
      return right ? [] : [`sequence ${name} is at ${found}, was at ${at}`];
    }),
  ];
}

function valueDifferences(
  kind: string,
  expected: Readonly<Record<string, unknown>>,
  restored: Readonly<Record<string, unknown>>,
): string[] {
  const changed = Object.keys(expected)
    .filter((name) => name in restored)
    .map((name) => [name, JSON.stringify(expected[name]), JSON.stringify(restored[name])] as const)
    .filter(([, wanted, found]) => wanted !== found)
    .map(([name, wanted, found]) => `${kind} ${name} is ${found}, was ${wanted}`);
  return [...differingKeys(kind, expected, restored), ...changed];
}

function differingKeys(kind: string, expected: object, restored: object): string[] {
  const missing = Object.keys(expected).filter((name) => !(name in restored));
  const surplus = Object.keys(restored).filter((name) => !(name in expected));
  return [
    ...missing.map((name) => `${kind} ${name} is missing`),
    ...surplus.map((name) => `${kind} ${name} should not exist`),
  ];
}

/** Qualified, quoted names of the user's permanent relations of some kinds (`pg_class.relkind`). */
async function namesOf(client: Client, kinds: 'rm' | 'S'): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c
     join pg_namespace n on n.oid = c.relnamespace
     where strpos($1, c.relkind::text) > 0 and c.relpersistence = 'p' and ${USER_SCHEMA} order by 1`,
    [kinds],
  );
  return rows.map(({ name }) => name);
}

async function readSequence(client: Client, name: string): Promise<SequenceContent> {
  const { rows } = await client.query<SequenceContent>(
    `select last_value::float8 as at, seqincrement::float8 as increment from ${name}, pg_sequence
     where seqrelid = '${name}'::regclass`,
  );
  return rows[0] ?? { at: 0, increment: 0 };
}

async function checksumRows(client: Client, table: string): Promise<TableContent> {
  const { rows } = await client.query<TableContent>(
    `select count(*)::int as rows, coalesce(md5(string_agg(hash, '' order by hash)), '') as checksum
     from (select md5(t::text) as hash from ${table} t) hashed`,
  );
  return rows[0] ?? { rows: 0, checksum: '' };
}

async function indexesOf(client: Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name,
            pg_get_indexdef(c.oid) || case when i.indisvalid then '' else ' INVALID' end as definition
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where ${USER_SCHEMA} order by 1`,
  );
  return Object.fromEntries(rows.map(({ name, definition }) => [name, definition]));
}
