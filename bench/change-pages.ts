/** Changes of a known share of a cluster's pages, as applications make them: row by row. */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchCluster } from './bench-cluster.ts';

const PAGE_BYTES = 8192;
const READ_BYTES: number = 128 * PAGE_BYTES;
const APPENDED_SHARE = 0.02;

/** Per table, a change of a column that no index holds. */
const CHANGES: Readonly<Record<string, string>> = {
  customers: 'city = initcap(reverse(city))',
  orders: 'total = total + 1',
  order_items: 'quantity = quantity + 1',
  events: 'kind = reverse(kind)',
  measurements: 'quality = 3 - quality',
};

/**
 * Touches one row in each of that share of all tables' pages, chosen at random; answers the bytes of all pages that
 * changed. Indexes change along where a new row version does not fit its page.
 */
export async function changePages(cluster: BenchCluster, share: number): Promise<number> {
  return countChanges(cluster, async () => {
    for (const [table, change] of Object.entries(CHANGES)) {
      await cluster.query(
        `WITH picked AS (SELECT DISTINCT floor(random() * n)::bigint AS block
           FROM (SELECT pg_relation_size('${table}') / ${PAGE_BYTES} AS n) AS size, generate_series(1, ceil(n * ${share})::int)),
         rows AS (SELECT (SELECT ctid FROM ${table} WHERE ctid >= format('(%s,0)', block)::tid
           AND ctid < format('(%s,0)', block + 1)::tid LIMIT 1) AS place FROM picked)
         UPDATE ${table} SET ${change} FROM rows WHERE ${table}.ctid = rows.place`,
      );
    }
  });
}

/** Adds some rows at the end of two tables; answers the bytes of all pages that changed, those of indexes included. */
export async function appendRows(cluster: BenchCluster): Promise<number> {
  const rowsOf = (table: string): string =>
    `(SELECT (reltuples * ${APPENDED_SHARE})::bigint FROM pg_class WHERE oid = '${table}'::regclass)`;
  return countChanges(cluster, async () => {
    await cluster.query(
      `INSERT INTO measurements SELECT sensor, now(), value, quality FROM measurements LIMIT ${rowsOf('measurements')}`,
    );
    await cluster.query(
      `INSERT INTO order_items SELECT order_id, position, product_id, quantity, price FROM order_items LIMIT ${rowsOf('order_items')}`,
    );
  });
}

async function countChanges(cluster: BenchCluster, act: () => Promise<void>): Promise<number> {
  await cluster.checkpoint();
  const since = await cluster.walPosition();
  await act();
  await cluster.checkpoint();
  return changedPages(join(cluster.server.dataFolder, 'base'), since) * PAGE_BYTES;
}

/** Pages of relations that WAL from `since` on changed: their first eight bytes say which WAL changed them last. */
function changedPages(base: string, since: bigint): number {
  const buffer = Buffer.alloc(READ_BYTES);
  let pages = 0;
  for (const name of readdirSync(base, { recursive: true, encoding: 'utf8' })) {
    if (!/\/\d+(\.\d+)?$/.test(name)) continue;
    const descriptor = openSync(join(base, name), 'r');
    for (
      let count = readSync(descriptor, buffer);
      count > 0;
      count = readSync(descriptor, buffer)
    ) {
      for (let at = 0; at + PAGE_BYTES <= count; at += PAGE_BYTES) {
        const lsn = (BigInt(buffer.readUInt32LE(at)) << 32n) | BigInt(buffer.readUInt32LE(at + 4));
        if (lsn >= since) pages += 1;
      }
    }
    closeSync(descriptor);
  }
  return pages;
}
