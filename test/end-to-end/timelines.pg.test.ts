/** Servers that were restored or promoted go on as the same server, on new timelines, by the built command line. */
import { afterEach, describe, expect, test } from 'vitest';
import type { MajorVersion } from '../../src/postgres/version.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf, type ClusterContent } from '../support/content.ts';
import { lostCommits, mark, startLoad, type Marker } from '../support/load.ts';
import { drawnVersion } from '../support/matrix.ts';
import {
  protect,
  waitForRecovery,
  waitUntil,
  type ProtectedServer,
} from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';
import { makeStandby } from '../support/standby.ts';

const COMMITS = 60;
const clusters: TestCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0).toReversed()) await cluster.dispose();
});

async function startCluster(major: MajorVersion): Promise<TestCluster> {
  const cluster = await testCluster({ major, initdb: { walSegmentMegabytes: 4 } });
  clusters.push(cluster);
  await populate(cluster, { scale: 0.05, tablespace: false });
  return cluster;
}

/** Restores, starts the copy, and waits until it is a primary. */
async function bringBack(
  server: ProtectedServer,
  name: string,
  words: readonly string[],
): Promise<TestCluster> {
  await server.restore(name, { words: [...words, '--action', 'promote'] });
  const restored = await server.adopt(name);
  clusters.push(restored);
  await restored.server.start();
  await waitForRecovery(restored, 'promote');
  return restored;
}

async function expectContent(restored: TestCluster, expected: ClusterContent): Promise<void> {
  expect(contentDifferences(expected, await contentOf(restored))).toEqual([]);
}

async function timelineOf(cluster: TestCluster): Promise<string> {
  return await cluster.value('select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)');
}

async function waitUntilAllIsStored(
  server: ProtectedServer,
  cluster: TestCluster,
  timeline: number,
): Promise<void> {
  const end = await cluster.value('select pg_current_wal_flush_lsn()');
  await server.waitUntilStored(end, timeline);
}

describe.each(drawnVersion('timelines'))('PostgreSQL %i', (major) => {
  test('restored, promoted and protected again comes back along both timelines', async () => {
    const original = await startCluster(major);
    const server = await protect(original);
    const receiver = await server.receive();
    const firstLoad = startLoad(original);
    const first = await server.backup(['--from', 'local']);
    await firstLoad.waitForCommits(COMMITS);
    const fork = await firstLoad.mark('fork');
    await firstLoad.waitForCommits(COMMITS);
    const { acknowledged } = await firstLoad.stop();
    const left = await mark(original, 'left behind', acknowledged);
    await waitUntilAllIsStored(server, original, 1);
    await receiver.stop();
    await original.server.stop();

    const promoted = await bringBack(server, 'promoted', ['--to-lsn', fork.lsn]);
    await expectContent(promoted, fork.content);
    expect(await timelineOf(promoted)).toBe('00000002');
    await server.configure({ cluster: promoted });
    await using newReceiver = await server.receive();
    const load = startLoad(promoted);
    await load.waitForCommits(COMMITS);
    const second = await server.backup(['--from', 'connection']);
    expect(second.timeline).toBe(2);
    await load.waitForCommits(COMMITS);
    const between = await load.mark('between');
    await load.waitForCommits(COMMITS);
    await load.stop();
    const end = await contentOf(promoted);
    await waitUntilAllIsStored(server, promoted, 2);
    await newReceiver.stop();

    const { gaps, backups } = await server.list();
    expect(gaps).toEqual([]);
    expect(backups.map((backup) => backup.id)).toEqual([first.id, second.id]);
    // Across the switch, from a backup on the timeline that was left.
    const across = await bringBack(server, 'across', ['--backup', first.id]);
    await expectContent(across, end);
    expect(await lostCommits(across, load.acknowledged)).toEqual([]);
    expect(await timelineOf(across)).toBe('00000003');
    const onSecond = await bringBack(server, 'between', ['--to-time', between.time]);
    await expectContent(onSecond, between.content);
    const old = await bringBack(server, 'old', ['--timeline', '1', '--to-name', left.name]);
    await expectContent(old, left.content);
    // Timeline 2 is taken: what this copy writes must never be mistaken for it.
    expect(await timelineOf(old)).toBe('00000003');
  });

  test('promoted behind its receiver keeps what only the receiver had as a branch', async () => {
    const primary = await startCluster(major);
    const server = await protect(primary);
    const standby = await makeStandby(primary, 'replicator');
    clusters.push(standby);
    await server.configure({ connection: bothHosts(primary, standby) });
    await using receiver = await server.receive();
    await server.backup(['--from', 'connection']);
    const shared = await markShared(primary, standby);
    await standby.server.stop();

    const load = startLoad(primary);
    await load.waitForCommits(COMMITS);
    await load.stop();
    const branch = await mark(primary, 'branch', load.acknowledged);
    await waitUntilAllIsStored(server, primary, 1);
    await primary.server.kill();
    await standby.server.start();
    await standby.server.promote();
    await expectContent(standby, shared.content);

    const newLoad = startLoad(standby);
    await newLoad.waitForCommits(COMMITS);
    await newLoad.stop();
    const end = await contentOf(standby);
    await waitUntilAllIsStored(server, standby, 2);
    await receiver.stop();
    const { gaps, recoveryWindows } = await server.list();
    expect(gaps).toEqual([]);
    expect(recoveryWindows.map(({ timeline }) => timeline)).toEqual([1, 2]);
    await expectContent(await bringBack(server, 'new', []), end);
    await expectContent(await bringBack(server, 'old', ['--timeline', '1']), branch.content);
  });
});

/** Names both hosts, of which Walnut takes the one that is a primary. */
function bothHosts(primary: TestCluster, standby: TestCluster): string {
  const [first, second] = [primary, standby].map(({ server }) => `127.0.0.1:${server.port}`);
  const url = primary.connectionString({ user: 'walnut' });
  return `${url.replace(`${first}/`, `${first},${second}/`)}?target_session_attrs=primary`;
}

/** A moment that both servers have. */
async function markShared(primary: TestCluster, standby: TestCluster): Promise<Marker> {
  const load = startLoad(primary);
  await load.waitForCommits(COMMITS);
  await load.stop();
  const shared = await mark(primary, 'shared', load.acknowledged);
  const end = await primary.value('select pg_current_wal_flush_lsn()');
  await waitUntil(
    () => `the standby has replayed ${end}`,
    async () => (await standby.value(`select pg_last_wal_replay_lsn() >= '${end}'`)) === 'true',
    { timeoutMs: 60_000, pollMs: 50 },
  );
  return shared;
}
