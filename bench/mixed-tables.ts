/**
 * Tables as applications have them: short and long text, numbers, times, uuids, JSON, dead rows, and the indexes that go
 * with them. Filler that compresses thirty to one would measure nothing but the reading of files.
 */
import type { Session } from '../src/postgres/connection/session.ts';

/** What one batch of rows with its share of the indexes takes on disk; measured, the real size is reported. */
const BATCH_BYTES = 22_000_000;
/** More rows than those of so many batches are copies of rows, which no window of a compressor sees and which are made much faster. */
const BATCHES_MADE_MAX = 100;
/** About as often as in prose: the first words of the list are drawn far more often than the last. */
const WORDS =
  'the of and to a in that it is was for on with as be at by this had not are but from or have an they which one you were her all she there would their we him been has when who will more no if out so said what up its about into than them can only other new some could time these two may then do first any my now such like our over man me even most made after also did many before must through back years where much your way well down should because each just those people too little state good very make world still own see men work long get here between both life being under never day same another know while last might us great old year off come since against go came right used take three order customer payment delivered returned invoice warehouse shipment discount balance account complaint manager quarterly Hamburg Rotterdam approved pending replacement warranty catalogue thermostat gearbox bearing calibration certificate'.split(
    ' ',
  );

const SCHEMA = `
  CREATE FUNCTION prose(words int, seed bigint) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg((ARRAY[${WORDS.map((word) => `'${word}'`).join(',')}])[1 + floor(power(random(), 2) * ${WORDS.length})::int], ' ')
    FROM generate_series(1, words + 0 * seed) $$;
  CREATE TABLE customers (id bigint, reference uuid, name text, email text, city text, created_at timestamptz, attributes jsonb);
  CREATE TABLE orders (id bigint, customer_id bigint, status text, total numeric(12,2), placed_at timestamptz, note text);
  CREATE TABLE order_items (order_id bigint, position int, product_id int, quantity int, price numeric(10,2));
  CREATE TABLE events (id bigint, at timestamptz, session_id uuid, kind text, payload jsonb);
  CREATE TABLE documents (id bigint, title text, body text, revised_at timestamptz);
  CREATE TABLE measurements (sensor int, at timestamptz, value double precision, quality smallint)`;

/** Rows of batch $n, whose ids follow those of the batch before. */
function batchStatements(batch: number): string[] {
  const at = (hours: string): string =>
    `timestamptz '2026-01-01' + (${batch} * 3600 + ${hours}) * interval '1 second'`;
  const ids = (count: number): string =>
    `generate_series(${batch * count + 1}, ${(batch + 1) * count}) AS g`;
  return [
    `INSERT INTO customers SELECT g, gen_random_uuid(), initcap(prose(2, g)), replace(prose(2, g), ' ', '.') || g || '@example.org',
       initcap(prose(1, g)), ${at('g % 3600')}, jsonb_build_object('segment', prose(1, g), 'score', round(random()::numeric, 3),
       'tags', string_to_array(prose(4, g), ' '), 'newsletter', random() < 0.3) FROM ${ids(6000)}`,
    `INSERT INTO orders SELECT g, 1 + floor(random() * ${(batch + 1) * 6000}), (ARRAY['new','paid','shipped','delivered','returned'])[1 + floor(random() * 5)::int],
       round((random() * 2000)::numeric, 2), ${at('random() * 3600')}, CASE WHEN random() < 0.3 THEN prose(12, g) END FROM ${ids(20_000)}`,
    `INSERT INTO order_items SELECT 1 + g / 3, g % 3, floor(random() * 40000), 1 + floor(power(random(), 3) * 20), round((random() * 300)::numeric, 2)
       FROM ${ids(60_000)}`,
    `INSERT INTO events SELECT g, ${at('g % 3600')}, gen_random_uuid(), (ARRAY['view','search','cart','login','error'])[1 + floor(random() * 5)::int],
       jsonb_build_object('path', '/' || replace(prose(3, g), ' ', '/'), 'ms', floor(random() * 900), 'agent', prose(3, g), 'ip', '10.' || g % 256 || '.' || g % 199 || '.7')
       FROM ${ids(15_000)}`,
    `INSERT INTO documents SELECT g, prose(6, g), prose(200 + (random() * 700)::int, g), ${at('g % 3600')} FROM ${ids(250)}`,
    `INSERT INTO measurements SELECT g % 500, ${at('g / 500')}, 20 + 5 * sin(g / 1000.0) + random(), (random() * 3)::int FROM ${ids(60_000)}`,
  ];
}

/** Every row once more, under the ids that follow those of so many batches. */
function doublingStatements(batches: number): string[] {
  const later = `${batches * 3600} * interval '1 second'`;
  return [
    `INSERT INTO customers SELECT id + ${batches * 6000}, gen_random_uuid(), name, email, city, created_at + ${later}, attributes FROM customers`,
    `INSERT INTO orders SELECT id + ${batches * 20_000}, customer_id + ${batches * 6000}, status, total, placed_at + ${later}, note FROM orders`,
    `INSERT INTO order_items SELECT order_id + ${batches * 20_000}, position, product_id, quantity, price FROM order_items`,
    `INSERT INTO events SELECT id + ${batches * 15_000}, at + ${later}, gen_random_uuid(), kind, payload FROM events`,
    `INSERT INTO documents SELECT id + ${batches * 250}, title, body, revised_at + ${later} FROM documents`,
    `INSERT INTO measurements SELECT sensor, at + ${later}, value, quality FROM measurements`,
  ];
}

const INDEXES = [
  'CREATE UNIQUE INDEX ON customers (id)',
  'CREATE INDEX ON customers (email)',
  'CREATE UNIQUE INDEX ON customers (reference)',
  'CREATE UNIQUE INDEX ON orders (id)',
  'CREATE INDEX ON orders (customer_id, placed_at)',
  'CREATE INDEX ON order_items (order_id, position)',
  'CREATE INDEX ON order_items (product_id)',
  'CREATE UNIQUE INDEX ON events (id)',
  'CREATE INDEX ON events (session_id)',
  'CREATE INDEX ON events USING gin (payload jsonb_path_ops)',
  'CREATE INDEX ON measurements (sensor, at)',
];

/** Fills the database by two sessions; answers the bytes of the whole cluster, WAL aside. */
export async function fillWithMixedTables(
  session: Session,
  helper: Session,
  sizeBytes: number,
): Promise<number> {
  const run = async (on: Session, sql: string): Promise<void> => {
    await on.query(sql, { act: 'fill the tables' });
  };
  // Walnut's own sessions have an empty search path.
  for (const on of [session, helper]) await run(on, 'SET search_path = public');
  for (const statement of SCHEMA.split(/;\n(?=\s*CREATE)/)) await run(session, statement);
  const wanted = sizeBytes / BATCH_BYTES;
  const doublings = Math.max(0, Math.ceil(Math.log2(wanted / BATCHES_MADE_MAX)));
  const batches = Math.max(1, Math.round(wanted / 2 ** doublings));
  const inTurns = async (statements: Iterator<string>): Promise<void> => {
    const work = async (on: Session): Promise<void> => {
      for (let next = statements.next(); next.done !== true; next = statements.next())
        await run(on, next.value);
    };
    await Promise.all([work(session), work(helper)]);
  };
  await inTurns(Array.from({ length: batches }).keys().flatMap(batchStatements));
  for (let doubled = 0; doubled < doublings; doubled += 1)
    await inTurns(doublingStatements(batches * 2 ** doubled).values());
  await run(session, "UPDATE orders SET status = 'delivered' WHERE id % 20 = 0");
  await run(session, 'DELETE FROM events WHERE id % 25 = 0');
  await inTurns(INDEXES.values());
  await run(session, 'VACUUM ANALYZE');
  await helper.close();
  const rows = await session.query<{ bytes: string }>(
    'SELECT sum(pg_tablespace_size(oid))::text AS bytes FROM pg_tablespace',
    { act: 'ask for the size of the cluster' },
  );
  return Number(rows[0]?.bytes);
}
