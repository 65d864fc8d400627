import { randomBelow } from '../random.ts';
import { adoptCluster, type TestCluster } from '../cluster.ts';
import { waitUntil, type ProtectedServer } from '../protected-server.ts';
import { fillTable, anyTable, ROUND_TABLESPACES, type WorkContext } from './work-context.ts';

/** What happens to server and receiver in a round, beside its work. */
export const ROUND_EVENTS = [
  'nothing',
  'nothing',
  'kill',
  'killInMidWork',
  'restart',
  'receiverAway',
  'noReceiver',
] as const;

export const EVENTS_WITHOUT_RECEIVER = [
  'nothing',
  'nothing',
  'kill',
  'killInMidWork',
  'restart',
] as const satisfies readonly (typeof ROUND_EVENTS)[number][];

export type RoundEvent = (typeof ROUND_EVENTS)[number] | 'promotion';

/** Kills the server while it does nothing, and starts it again. */
export async function killAtRest(cluster: TestCluster): Promise<void> {
  await flushWal(cluster);
  await cluster.server.kill();
  await cluster.server.start();
}

/** Kills the server while it inserts, at any moment of it, and starts it again. */
export async function killInMidWork(context: WorkContext): Promise<void> {
  const { cluster, random } = context;
  const table = await anyTable(context);
  const delayMs = randomBelow(random, 60);
  await flushWal(cluster);
  const insert = fillTable(context, table, 20_000).catch(() => {});
  await new Promise((fulfil) => setTimeout(fulfil, delayMs));
  await cluster.server.kill();
  await insert;
  await cluster.server.start();
}

/**
 * A standby, restored by Walnut, follows the primary, which then dies; the standby goes on in its place. It has what it
 * had received by then.
 */
export async function failOver(
  server: ProtectedServer,
  { primary, name }: { readonly primary: TestCluster; readonly name: string },
): Promise<TestCluster> {
  const words = ['--standby', '--archive-mode', 'preserve'];
  await server.restore(name, { words, tablespaces: ROUND_TABLESPACES });
  const standby = await adoptCluster({
    major: primary.major,
    dataFolder: server.restoredFolder(name),
    overrides: { primary_conninfo: primary.connectionString({ user: 'replicator' }) },
  });
  await standby.server.start();
  await flushWal(primary);
  const lsn = await primary.value('select pg_current_wal_flush_lsn()');
  await waitUntil(
    () => `the standby replays ${lsn}`,
    async () => (await standby.value(`select pg_last_wal_replay_lsn() >= '${lsn}'`)) === 'true',
    { pollMs: 50 },
  );
  await primary.server.kill();
  await standby.server.promote();
  return standby;
}

/**
 * For a kill, because PostgreSQL does not survive each one. A rollback is not flushed: when that of a TRUNCATE of an
 * unlogged table is lost, the next start makes the new init fork again, finds the emptied main fork that waits for a
 * checkpoint to go, and ends with "could not create file …: File exists" (ResetUnloggedRelations in
 * src/backend/storage/file/reinit.c). Nor is the record flushed that removes the old folder of a moved database, and a
 * replay without it would keep that.
 *
 * A commit flushes all WAL before it, but only that of a transaction which wrote some itself, as this message does; one
 * that merely has an id does not.
 */
async function flushWal(cluster: TestCluster): Promise<void> {
  await cluster.sql(`select pg_logical_emit_message(true, 'rounds', '')`);
}
