import type { Client } from 'pg';
import { randomBelow, type Random } from './random.ts';

/** What a session is about to commit, beside its entry in the ledger. */
export type Operation = (client: Client, random: Random, session: number) => Promise<void>;

/** Operations inside a transaction, by name; the name goes into the ledger. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  async order(client, random) {
    await client.query(
      `insert into orders (customer, lines, total, note)
       select $1::bigint, json_build_array(n, md5($1::bigint::text || n)), n * 1.25, repeat(md5(n::text), $2::int)
       from generate_series(1, 5) n`,
      [1 + randomBelow(random, 1000), randomBelow(random, 10) === 0 ? 100 : 1],
    );
  },
  /** Rows are locked in the order of their ids, so two transfers never wait for each other. */
  async transfer(client, random) {
    const [from, to] = [1 + randomBelow(random, 500), 501 + randomBelow(random, 400)];
    const amount = randomBelow(random, 10_000) / 100;
    await client.query('update customers set balance = balance - $2::numeric where id = $1', [
      from,
      amount,
    ]);
    await client.query(
      `update customers set balance = balance + $2::numeric, seen = clock_timestamp(),
         profile = profile || jsonb_build_object('last', $2::numeric) where id = $1`,
      [to, amount],
    );
  },
  async forget(client, random) {
    await client.query(
      `delete from orders where id in (select id from orders where id % 50 = $1 order by id limit 40
       for update skip locked)`,
      [randomBelow(random, 50)],
    );
  },
  async measure(client, random) {
    await client.query(
      'insert into measurements select $1::int, random(), clock_timestamp() from generate_series(1, 200)',
      [randomBelow(random, 100)],
    );
  },
  async document(client, random) {
    await client.query(
      `insert into documents (title, body)
       values ('new', lo_from_bytea(0, decode(repeat(md5(random()::text), $1::int), 'hex')))`,
      [1 + randomBelow(random, 400)],
    );
    await client.query(
      `with old as (delete from documents where id = (select min(id) from documents where title = 'new' and id % 2 = 0)
       returning body) select lo_unlink(body) from old where exists
       (select from pg_largeobject_metadata m where m.oid = old.body)`,
    );
  },
  async sequence(client) {
    await client.query("select nextval('invoice_number') from generate_series(1, 3)");
    await client.query('insert into visits (page) select md5(random()::text)');
  },
  async savepoint(client) {
    await client.query('savepoint before');
    await client.query("insert into orders (customer, lines, total) values (1, '[]', 0)");
    await client.query('rollback to savepoint before');
  },
  /** Files come and go while a backup reads the folder. */
  async rebuild(client, _random, session) {
    await client.query(`drop table if exists scratch_${session}`);
    await client.query(
      `create table scratch_${session} as select n, md5(n::text) from generate_series(1, 300) n`,
    );
    await client.query(`create index on scratch_${session} (n)`);
    await client.query(`truncate scratch_${session}`);
    await client.query(
      `insert into scratch_${session} select n, 'again' from generate_series(1, 50) n`,
    );
  },
};

/** Statements that run outside a transaction, between the others. */
export const MAINTENANCE: readonly string[] = [
  'vacuum customers',
  'vacuum (truncate) orders',
  'vacuum (freeze) measurements',
  'analyze',
  'checkpoint',
];
