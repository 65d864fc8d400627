import { join } from 'node:path';
import { pickOne, randomBelow } from '../random.ts';
import {
  anySchema,
  anyTable,
  anyTablespace,
  createIndex,
  createTable,
  dropBloomIndexes,
  fillTable,
  indexNames,
  ROW_COLUMNS,
  rowsQuery,
  scatter,
  tableNames,
  type Work,
  type WorkContext,
} from './work-context.ts';

/** Work on the rows and files of tables and indexes, by the name that a failed run prints. */
export const TABLE_WORK: Readonly<Record<string, Work>> = {
  async insert(context) {
    await fillTable(context, await anyTable(context), 1 + randomBelow(context.random, 2000));
  },
  async update(context) {
    const { client, random } = context;
    const table = await anyTable(context);
    const change = pickOne(random, [
      `body = body || 'x'`,
      `key = (key + 13) % 1000, name = md5(name)`,
      `tags = tags || array['new'], doc = doc || '{"again": true}'`,
      `place = point(key, key), span = int4range(key, key + 5)`,
    ]);
    const each = pickOne(random, [1, 3, 20, 400]);
    await client.query(`update ${table} set ${change} where id % ${each} = 0`);
  },
  scatter,
  async updateOneRow(context) {
    const table = await anyTable(context);
    await context.client.query(
      `update ${table} set name = name || 'y' where id = (select min(id) from ${table})`,
    );
  },
  async delete(context) {
    const table = await anyTable(context);
    const condition = pickOne(context.random, ['id % 7 = 3', 'key < 100', 'id % 2 = 0']);
    await context.client.query(`delete from ${table} where ${condition}`);
  },
  /** What a vacuum can cut off the file's end. */
  async deleteTail(context) {
    const table = await anyTable(context);
    await context.client.query(
      `delete from ${table} where id > (select percentile_disc(${randomBelow(context.random, 9) / 10})
         within group (order by id) from ${table})`,
    );
    await vacuumUntilCut(context, table);
  },
  async deleteAll(context) {
    await context.client.query(`delete from ${await anyTable(context)}`);
  },
  async vacuum(context) {
    const options = pickOne(context.random, [
      '',
      '(freeze)',
      '(index_cleanup off)',
      '(analyze)',
      '(truncate off)',
    ]);
    await context.client.query(`vacuum ${options} ${await anyTable(context)}`);
  },
  async vacuumFull(context) {
    await context.client.query(`vacuum full ${await anyTable(context)}`);
  },
  async truncate(context) {
    const table = await anyTable(context);
    const restart = pickOne(context.random, ['', 'restart identity']);
    await context.client.query(`truncate ${table} ${restart}`);
    if (randomBelow(context.random, 2) === 0) await fillTable(context, table, 300);
  },
  async truncateRolledBack(context) {
    const table = await anyTable(context);
    const rows = rowsQuery(context.random, 100);
    await context.client.query(
      `begin; truncate ${table}; insert into ${table} (${ROW_COLUMNS}) ${rows}; rollback`,
    );
  },
  async createTable(context) {
    await createTable(context);
  },
  async createUnlogged(context) {
    await createTable(context, 'unlogged');
  },
  async setLogged(context) {
    const state = pickOne(context.random, ['logged', 'unlogged']);
    const table = await anyTable(context);
    if (state === 'unlogged') await dropBloomIndexes(context, table);
    await context.client.query(`alter table ${table} set ${state}`);
  },
  async createPartitioned(context) {
    const { client, random } = context;
    const schema = anySchema(random);
    const name = `${schema}.parted_${randomBelow(random, 1_000_000)}`;
    await client.query(
      `create schema if not exists ${schema};
       create table ${name} (${PARTED_COLUMNS}) partition by range (key);
       create table ${name}_low partition of ${name} for values from (minvalue) to (400);
       create table ${name}_high partition of ${name} for values from (400) to (maxvalue) ${anyTablespace(random)};
       create index on ${name} (name);
       insert into ${name} (${ROW_COLUMNS}) ${rowsQuery(random, 400)}`,
    );
  },
  async drop(context) {
    const names = await tableNames(context);
    if (names.length < 4) await createTable(context);
    else await context.client.query(`drop table ${pickOne(context.random, names)} cascade`);
  },
  async dropCreated(context) {
    const { client, random } = context;
    const rows = rowsQuery(random, 500);
    await client.query(
      `create schema if not exists schema_2; drop table if exists schema_2.short_lived;
       create table schema_2.short_lived as ${rows}; create index on schema_2.short_lived (md5)`,
    );
    if (randomBelow(random, 2) === 0) await client.query('drop table schema_2.short_lived');
  },
  async createIndex(context) {
    await createIndex(context, await anyTable(context));
  },
  async dropIndex(context) {
    const { rows } = await context.client.query<{ name: string }>(
      `select indexrelid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indexrelid
       join pg_namespace n on n.oid = c.relnamespace
       where not indisunique and not c.relispartition and c.relkind = 'i' and n.nspname like 'schema\\_%' order by c.relname`,
    );
    if (rows.length > 3)
      await context.client.query(`drop index ${pickOne(context.random, rows).name}`);
  },
  async reindex(context) {
    const { client, random } = context;
    const how = pickOne(random, ['', 'concurrently']);
    const names = await indexNames(context);
    if (names.length > 0) await client.query(`reindex index ${how} ${pickOne(random, names)}`);
    if (randomBelow(random, 3) === 0) {
      await client.query(`reindex table ${how} ${await anyTable(context)}`);
    }
  },
  async cluster(context) {
    const table = await anyTable(context);
    const { rows } = await context.client.query<{ name: string }>(
      `select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
       where i.indrelid = '${table}'::regclass and i.indisunique order by 1`,
    );
    const [index] = rows;
    if (index !== undefined) await context.client.query(`cluster ${table} using "${index.name}"`);
  },
  async rewrite(context) {
    const type = pickOne(context.random, ['int', 'bigint', 'numeric']);
    const table = await anyTable(context);
    const { rows } = await context.client.query(
      `select from pg_class where oid = '${table}'::regclass and relispartition`,
    );
    if (rows.length === 0) {
      await context.client.query(
        `alter table ${table} add column extra ${type} default random() * 1000`,
      );
      await context.client.query(`alter table ${table} drop column extra`);
    }
  },
  async moveTable(context) {
    const table = await anyTable(context);
    const place = pickOne(context.random, ['pg_default', '"space one"', '"space two"']);
    await context.client.query(`alter table ${table} set tablespace ${place}`);
  },
  async moveIndex(context) {
    const names = await indexNames(context);
    if (names.length === 0) return;
    const place = pickOne(context.random, ['pg_default', '"space one"', '"space two"']);
    await context.client.query(
      `alter index ${pickOne(context.random, names)} set tablespace ${place}`,
    );
  },
  async copy(context) {
    await copyRows(context, await anyTable(context), randomBelow(context.random, 3000));
  },
  /** Extends the file in bulk, and leaves pages that nothing refers to. */
  async failedCopy(context) {
    await failedCopy(context, await anyTable(context));
  },
  /** POSTGRES.md would call it: cut, then extended by pages that WAL never mentions. */
  async cutAndFailedCopy(context) {
    const table = await anyTable(context);
    await context.client.query(
      `delete from ${table} where id > (select coalesce(min(id), 0) + 40 from ${table})`,
    );
    await vacuumUntilCut(context, table);
    await failedCopy(context, table);
  },
  async abortedInsert(context) {
    const table = await anyTable(context);
    const rows = rowsQuery(context.random, 1500);
    await context.client.query(`begin; insert into ${table} (${ROW_COLUMNS}) ${rows}; rollback`);
  },
  async savepoints(context) {
    const table = await anyTable(context);
    const rows = rowsQuery(context.random, 150);
    await context.client.query(
      `begin; update ${table} set key = key + 1 where id % 11 = 0; savepoint one;
       insert into ${table} (${ROW_COLUMNS}) ${rows}; rollback to one; delete from ${table} where id % 31 = 0; commit`,
    );
  },
  /** Multixacts: locked in a subtransaction after a weaker lock. */
  async lockRows(context) {
    const table = await anyTable(context);
    await context.client.query(
      `begin; select from ${table} where id % 5 = 0 for key share; savepoint one;
       select from ${table} where id % 10 = 0 for update; update ${table} set key = key where id % 20 = 0; commit`,
    );
  },
};

const PARTED_COLUMNS =
  'id bigint default 1, key int, name text, tags text[], place point, span int4range, doc jsonb, body text';

/** A vacuum gives up the cut when somebody waits for the table; nobody does here. */
async function vacuumUntilCut({ client }: WorkContext, table: string): Promise<void> {
  await client.query(`vacuum (truncate) ${table}`);
}

async function copyRows(context: WorkContext, table: string, rows: number): Promise<void> {
  const path = join(context.folder, 'rows.copy');
  await context.client.query(`copy (${rowsQuery(context.random, rows)}) to '${path}'`);
  await context.client.query(`copy ${table} (${ROW_COLUMNS}) from '${path}'`);
}

async function failedCopy(context: WorkContext, table: string): Promise<void> {
  const path = join(context.folder, 'bad-rows.copy');
  const rows = rowsQuery(context.random, 500 + randomBelow(context.random, 3000));
  await context.client.query(`copy (select * from (${rows}) good union all
    select null, null, null, null, null, null, null from generate_series(1, 1)) to '${path}'`);
  await context.client.query(
    `alter table ${table} add constraint whole check (key is not null) not valid`,
  );
  const failure = await context.client.query(`copy ${table} (${ROW_COLUMNS}) from '${path}'`).then(
    () => new Error('the copy did not fail'),
    () => null,
  );
  await context.client.query(`alter table ${table} drop constraint whole`);
  if (failure !== null) throw failure;
}
