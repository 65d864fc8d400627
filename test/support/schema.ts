import type { TestCluster } from './cluster.ts';

/** The databases of the mixed schema; a load's sessions take turns among them. */
export const WORKLOAD_DATABASES = ['shop', 'ware house'] as const;

export const WORKLOAD_TABLESPACE = 'walnut space';

export type PopulateOptions = {
  /** 1 makes about 12 MB in each database. */
  readonly scale?: number;
  /** Default true: a table in a tablespace outside the data folder. */
  readonly tablespace?: boolean;
};

/**
 * Makes the mixed schema in two databases, one of which has a name that needs quoting, and fills it: text, numbers,
 * JSON, btree, gin, hash and brin indexes, out-of-line values, large objects, sequences, an unlogged table, a table in
 * a custom tablespace, and the ledger (`load.ts`).
 */
export async function populate(cluster: TestCluster, options: PopulateOptions = {}): Promise<void> {
  const { scale = 1, tablespace = true } = options;
  if (tablespace) await cluster.createTablespace(WORKLOAD_TABLESPACE);
  for (const database of WORKLOAD_DATABASES) {
    await cluster.sql(`create database "${database}"`);
    const place = tablespace ? `tablespace "${WORKLOAD_TABLESPACE}"` : '';
    await cluster.sql(schemaSql(place), { database });
    await cluster.sql(rowsSql(Math.max(1, Math.round(1000 * scale))), { database });
    await cluster.sql('vacuum analyze', { database });
  }
}

function schemaSql(tablespace: string): string {
  return `
create extension if not exists plpgsql;
create table customers (
  id bigserial primary key, name text not null, email text unique, profile jsonb not null,
  balance numeric(14, 2) not null default 1000, born date, tags text[], seen timestamptz default clock_timestamp()
) with (fillfactor = 80);
create index customers_profile on customers using gin (profile);
create index customers_tags on customers using gin (tags);
create index customers_name on customers (lower(name), id desc);
create index customers_email on customers using hash (email);
create table orders (
  id bigint generated always as identity primary key, customer bigint not null, lines json not null,
  total double precision not null, note text, at timestamptz not null default clock_timestamp()
);
create index orders_customer on orders (customer) where total > 10;
create table measurements (sensor int not null, value real, at timestamptz not null) ${tablespace};
create index measurements_at on measurements using brin (at) ${tablespace};
create unlogged table visits (id serial primary key, page text);
create table documents (id serial primary key, title text not null, body oid not null);
create sequence invoice_number increment 3 start 1000;
create table ledger (
  session int not null, number int not null, entry text not null, amount numeric(14, 2) not null,
  at timestamptz not null default clock_timestamp(), primary key (session, number)
);
create table marks (name text primary key, xid text not null, at timestamptz not null);
create materialized view spending as select customer, sum(total) as total from orders group by customer;
`;
}

/** Text that compresses, and text that does not and goes out of line. */
function rowsSql(rows: number): string {
  return `
insert into customers (name, email, profile, born, tags)
  select 'customer ' || n, 'c' || n || '@example.org',
         jsonb_build_object('level', n % 7, 'city', 'city ' || n % 50, 'words', repeat('walnut ', n % 20)),
         date '1950-01-01' + n % 20000, array['t' || n % 5, 't' || n % 11]
  from generate_series(1, ${rows}) n;
insert into orders (customer, lines, total, note)
  select 1 + n % ${rows}, json_build_array(n, md5(n::text)), n / 7.0,
         case when n % 40 = 0
              then (select string_agg(md5(n::text || part), '') from generate_series(1, 120) part)
              else repeat('note ', n % 9) end
  from generate_series(1, ${rows * 20}) n;
insert into measurements
  select n % 100, sin(n), timestamptz '2026-01-01' + n * interval '1 second' from generate_series(1, ${rows * 20}) n;
insert into visits (page) select '/page/' || n from generate_series(1, ${rows}) n;
insert into documents (title, body)
  select 'document ' || n, lo_from_bytea(0, decode(repeat(md5(n::text), 50 * n), 'hex')) from generate_series(1, 20) n;
select nextval('invoice_number') from generate_series(1, 10);
refresh materialized view spending;
`;
}
