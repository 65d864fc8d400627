/** The `wal` commands of the built command line on a real server. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  walPushDocument,
  walReceiveEvent,
  walSlotDocument,
  walStatusDocument,
  walSwitchDocument,
} from '../../src/api/wal-contract.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import {
  makeTestArchive,
  TEST_SERVER,
  waitForWal,
  type TestArchive,
} from '../support/receiving.ts';
import { populate } from '../support/schema.ts';
import {
  runWalnut,
  spawnWalnut,
  type WalnutProcess,
  type WalnutResult,
} from '../support/walnut.ts';

let cluster: TestCluster;
let archive: TestArchive;
let receiver: WalnutProcess;

beforeAll(async () => {
  cluster = await testCluster({
    major: 15,
    initdb: { walSegmentMegabytes: 1 },
    settings: { wal_keep_size: '64MB' },
  });
  archive = await makeTestArchive(cluster, { user: 'walnut', toml: 'wal_timeout = "20 seconds"' });
  receiver = await spawnWalnut(['wal', 'receive', TEST_SERVER, '--json'], {
    config: archive.config,
  });
  await receiver.waitForLine('"streaming"');
  await populate(cluster, { tablespace: false, scale: 0.2 });
});
afterAll(async () => {
  await receiver.stop('SIGKILL');
  await cluster.dispose();
});

async function wal(...args: string[]): Promise<WalnutResult> {
  return runWalnut(['wal', ...args, '--json'], { config: archive.config });
}

describe('the wal commands', () => {
  test('switch waits until the segment is stored, status shows that nothing is behind', async () => {
    const switched = walSwitchDocument.parse((await wal('switch', TEST_SERVER)).json());
    expect(switched.stored).toBe(true);
    await waitForWal(archive, await cluster.value('select pg_current_wal_flush_lsn()::text'));
    const { servers } = walStatusDocument.parse((await wal('status', TEST_SERVER)).json());
    expect(servers[0]).toMatchObject({
      server: TEST_SERVER,
      gaps: [],
      error: null,
      slot: { name: 'walnut_shop', exists: true, active: true, walStatus: 'reserved' },
    });
    expect(servers[0]?.lagBytes).toBeLessThan(1_000_000);
    expect(servers[0]?.timelines).toHaveLength(1);
    expect(servers[0]?.timelines[0]?.ranges).toHaveLength(1);
  });

  test('status as text names the range and the slot', async () => {
    const { stdout, exitCode } = await runWalnut(['wal', 'status'], { config: archive.config });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/walnut_shop, in use, WAL reserved/);
  });

  test('every segment that was received may be pushed as well, and is the same', async () => {
    const name = await cluster.value('select pg_walfile_name(pg_current_wal_lsn())');
    await wal('switch', TEST_SERVER);
    const path = join('pg_wal', name);
    const pushed = await runWalnut(['wal', 'push', TEST_SERVER, path, '--json'], {
      config: archive.config,
      folder: cluster.dataFolder,
    });
    expect(walPushDocument.parse(pushed.json())).toMatchObject({ file: name, outcome: 'existed' });
  });

  test('the slot of a running receiver is not dropped', async () => {
    const existing = walSlotDocument.parse((await wal('slot', 'create', TEST_SERVER)).json());
    expect(existing.outcome).toBe('existed');
    const refused = await wal('slot', 'drop', TEST_SERVER);
    expect(refused.exitCode).toBe(1);
    expect(refused.json()).toMatchObject({
      error: { hint: expect.stringContaining('Stop the receiver') },
    });
  });

  test('a receiver ends with 0 on SIGTERM, every line of its output is an event, and the last bytes are stored', async () => {
    const end = await cluster.value('select pg_current_wal_flush_lsn()::text');
    const { exitCode, stdout } = await receiver.stop('SIGTERM');
    expect(exitCode).toBe(0);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => walReceiveEvent.parse(JSON.parse(line)));
    expect(events.at(-1)?.event).toBe('stopped');
    expect(events.some(({ event }) => event === 'segment-stored')).toBe(true);
    await waitForWal(archive, end, { timeoutMs: 100 });
  });

  test('without a receiver the slot is dropped once, and status says that it is missing', async () => {
    expect(walSlotDocument.parse((await wal('slot', 'drop', TEST_SERVER)).json()).outcome).toBe(
      'dropped',
    );
    expect(walSlotDocument.parse((await wal('slot', 'drop', TEST_SERVER)).json()).outcome).toBe(
      'missing',
    );
    const { servers } = walStatusDocument.parse((await wal('status', TEST_SERVER)).json());
    expect(servers[0]?.slot).toMatchObject({ exists: false });
    expect(walSlotDocument.parse((await wal('slot', 'create', TEST_SERVER)).json()).outcome).toBe(
      'created',
    );
  });

  test('status of a server that is down shows what is stored, and why the server does not answer', async () => {
    await cluster.server.stop('fast');
    const answer = await wal('status', TEST_SERVER);
    expect(answer.exitCode).toBe(0);
    const { servers } = walStatusDocument.parse(answer.json());
    expect(servers[0]).toMatchObject({ serverLsn: null, lagBytes: null, slot: null });
    expect(servers[0]?.error).toContain('connect to');
    expect(servers[0]?.timelines).toHaveLength(1);
    await cluster.server.start();
  });
});
