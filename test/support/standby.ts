import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { adoptCluster, type TestCluster } from './cluster.ts';
import { waitUntil } from './protected-server.ts';

/** A standby of `primary`, streaming from it as `user`: a copy of its stopped data directory. The caller disposes of it. */
export async function makeStandby(primary: TestCluster, user?: string): Promise<TestCluster> {
  await primary.server.stop('fast');
  const dataFolder = join(primary.workFolder, 'standby');
  await cp(primary.dataFolder, dataFolder, { recursive: true, preserveTimestamps: true });
  await primary.server.start();
  await writeFile(join(dataFolder, 'standby.signal'), '');
  await giveToUser(dataFolder, primary.server.user);
  const conninfo = primary
    .connectionString(user === undefined ? {} : { user })
    .replaceAll("'", "''");
  const standby = await adoptCluster({
    major: primary.major,
    dataFolder,
    overrides: { primary_conninfo: conninfo, hot_standby: true },
  });
  await standby.server.start();
  return standby;
}

/** Waits until the standby has replayed all that the primary has written by now. */
export async function waitUntilCaughtUp(standby: TestCluster, primary: TestCluster): Promise<void> {
  const lsn = await primary.value('select pg_current_wal_flush_lsn()');
  try {
    await waitUntil(
      () => `the standby replays ${lsn}`,
      async () => (await standby.value(`select pg_last_wal_replay_lsn() >= '${lsn}'`)) === 'true',
    );
  } catch (cause) {
    throw new Error(await standby.server.logTail(40), { cause });
  }
}
