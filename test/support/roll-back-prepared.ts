import type { TestCluster } from './cluster.ts';

/** Ends the prepared transactions of a database. */
export async function rollBackPrepared(cluster: TestCluster, database: string): Promise<void> {
  const rows = await cluster.sql<{ gid: string }>(
    `select gid from pg_prepared_xacts where database = '${database}'`,
  );
  for (const { gid } of rows) await cluster.sql(`rollback prepared '${gid}'`, { database });
}
