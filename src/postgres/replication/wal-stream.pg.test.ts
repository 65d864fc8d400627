import { chmod, cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adoptCluster, testCluster, type TestCluster } from '../../../test/support/cluster.ts';
import { must } from '../../lib/assert.ts';
import { sleep } from '../../lib/sleep.ts';
import { readConnectionSettings } from '../connection/connection-settings.ts';
import type { Session } from '../connection/session.ts';
import { parseLsn, toLsn, type Lsn } from '../lsn.ts';
import { formatSegmentName, segmentNumberAt } from '../segment-name.ts';
import { toTimelineId } from '../timeline-id.ts';
import {
  createSlot,
  dropSlot,
  identifySystem,
  readSlot,
  readTimelineHistory,
  showWalSegmentBytes,
} from './commands.ts';
import { openReplicationConnection } from './replication-connection.ts';
import { BatchMemory } from './batch-memory.ts';
import { startWalStream, type WalStream } from './wal-stream.ts';

const SOURCES = {
  environment: {},
  homeFolder: '/nonexistent',
  userName: 'nobody',
  readFile: () => null,
  exists: () => false,
};
const SEGMENT_BYTES = 1024 * 1024;
const TIMELINE_1 = toTimelineId(1);

async function connect(cluster: TestCluster): Promise<Session> {
  const url = cluster.connectionString({ user: 'replicator' });
  const settings = readConnectionSettings(url, SOURCES);
  const options = { applicationName: 'walnut test', reusesReads: true };
  return (await openReplicationConnection(settings, options)).session;
}

function segmentStartOf(lsn: Lsn): Lsn {
  return toLsn((lsn / BigInt(SEGMENT_BYTES)) * BigInt(SEGMENT_BYTES));
}

/** Receives without a gap until `end` is reached or the stream ends; answers the bytes from `start`. */
async function receive(stream: WalStream, start: Lsn, end: Lsn | null): Promise<Buffer> {
  const parts: Buffer[] = [];
  let at = start;
  for (;;) {
    if (end !== null && at >= end) break;
    const batch = await stream.readBatch({ timeoutMs: 10_000 });
    if (batch.length === 0) break;
    for (const message of batch) {
      if (message.kind === 'keepalive') continue;
      expect(message.start).toBe(at);
      parts.push(Buffer.from(message.bytes));
      at = toLsn(at + BigInt(message.bytes.length));
    }
  }
  return Buffer.concat(parts);
}

describe.each([13, 18] as const)('streaming WAL of version %i', (major) => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await testCluster({
      major,
      initdb: { walSegmentMegabytes: 1 },
      settings: { wal_keep_size: '64MB' },
    });
    await cluster.sql('create table load (i int, t text)');
  });

  afterAll(async () => {
    await cluster.dispose();
  });

  async function writeWal(rows = 20_000): Promise<Lsn> {
    await cluster.sql(`insert into load select i, md5(i::text) from generate_series(1, ${rows}) i`);
    return parseLsn(await cluster.value('select pg_current_wal_flush_lsn()::text'));
  }

  test('gives the bytes of the segment files', async () => {
    const session = await connect(cluster);
    const { flushLsn, systemIdentifier } = await identifySystem(session);
    expect(await showWalSegmentBytes(session)).toBe(SEGMENT_BYTES);
    const control = 'select system_identifier::text from pg_control_system()';
    expect(String(systemIdentifier)).toBe(await cluster.value(control));
    const start = segmentStartOf(flushLsn);
    const end = await writeWal();
    const stream = await startWalStream(session, { start, timeline: TIMELINE_1 });
    const bytes = await receive(stream, start, end);
    const number = segmentNumberAt(start, SEGMENT_BYTES);
    const name = formatSegmentName({ timeline: TIMELINE_1, number }, SEGMENT_BYTES);
    const file = await readFile(join(cluster.dataFolder, 'pg_wal', name));
    expect(bytes.length).toBeGreaterThan(SEGMENT_BYTES);
    expect(bytes.subarray(0, SEGMENT_BYTES).equals(file)).toBe(true);

    stream.stop();
    await receive(stream, toLsn(start + BigInt(bytes.length)), null);
    expect(stream.end).toEqual({ reason: 'stopped' });
    expect((await identifySystem(session)).timeline).toBe(1);
    await session.close();
  });

  test('a small queue holds the server back and loses nothing', async () => {
    const session = await connect(cluster);
    const start = segmentStartOf((await identifySystem(session)).flushLsn);
    const end = await writeWal(60_000);
    const stream = await startWalStream(session, {
      start,
      timeline: TIMELINE_1,
      memory: new BatchMemory(200_000),
    });
    await sleep(300);
    const first = await stream.readBatch();
    const waiting = first.reduce(
      (sum, message) => sum + (message.kind === 'wal' ? message.bytes.length : 0),
      0,
    );
    // One message over the limit, and what a chunk of the socket held behind it.
    expect(waiting).toBeLessThan(200_000 + 3 * 131_072);
    const [begin] = first;
    expect(begin).toMatchObject({ kind: 'wal', start });
    const received = toLsn(start + BigInt(waiting));
    const rest = await receive(stream, received, end);
    expect(received + BigInt(rest.length)).toBeGreaterThanOrEqual(end);
    await session.close();
  });

  test('a slot keeps WAL and follows what is reported as flushed', async () => {
    const session = await connect(cluster);
    await createSlot(session, 'walnut', { reserveWal: true });
    await expect(createSlot(session, 'walnut')).rejects.toMatchObject({
      details: { sqlState: '42710' },
    });
    const start = segmentStartOf((await identifySystem(session)).flushLsn);
    const end = await writeWal();
    const stream = await startWalStream(session, { start, timeline: TIMELINE_1, slot: 'walnut' });
    await receive(stream, start, end);
    stream.sendStatus({ write: end, flush: end, replyRequested: true });
    const [reply] = await stream.readBatch({ timeoutMs: 5000 });
    expect(reply).toMatchObject({ kind: 'keepalive', replyRequested: false });
    const restart = `select restart_lsn::text from pg_replication_slots where slot_name = 'walnut'`;
    expect(parseLsn(await cluster.value(restart))).toBe(end);
    const seen = await cluster.value(
      `select flush_lsn::text from pg_stat_replication where application_name = 'walnut test'`,
    );
    expect(parseLsn(seen)).toBe(end);

    stream.stop();
    await receive(stream, end, null);
    await dropSlot(session, 'walnut');
    await expect(dropSlot(session, 'walnut')).rejects.toMatchObject({
      details: { sqlState: '42704' },
    });
    await session.close();
  });

  test.runIf(major >= 15)('a slot can be read', async () => {
    const session = await connect(cluster);
    await createSlot(session, 'readable');
    const restart = `select restart_lsn::text from pg_replication_slots where slot_name = 'readable'`;
    expect(await readSlot(session, 'readable')).toEqual({
      restartLsn: parseLsn(await cluster.value(restart)),
      restartTimeline: 1,
    });
    expect(await readSlot(session, 'none')).toBeNull();
    await dropSlot(session, 'readable');
    await session.close();
  });

  test('WAL that is gone is a gap, WAL that is not there yet an error', async () => {
    const session = await connect(cluster);
    const gone = startWalStream(session, { start: toLsn(0n), timeline: TIMELINE_1 });
    const afterStart = gone.then(async (stream) => await stream.readBatch());
    await expect(afterStart).rejects.toMatchObject({
      code: 'wal-gap',
      details: { sqlState: '58P01' },
    });
    const future = toLsn(1n << 40n);
    const stream = startWalStream(session, { start: future, timeline: TIMELINE_1 });
    await expect(stream.then(async (opened) => await opened.readBatch())).rejects.toThrow(
      /ahead of the WAL flush position/,
    );
    const strange = startWalStream(session, { start: future, timeline: toTimelineId(9) });
    await expect(strange).rejects.toThrow(/timeline 9/);
    expect((await identifySystem(session)).timeline).toBe(1);
    await session.close();
  });

  test('waiting ends with its time, and with its signal', async () => {
    const session = await connect(cluster);
    const start = segmentStartOf((await identifySystem(session)).flushLsn);
    const stream = await startWalStream(session, { start, timeline: TIMELINE_1 });
    while ((await stream.readBatch({ timeoutMs: 300 })).length > 0);
    expect(stream.end).toBeNull();
    const controller = new AbortController();
    const waiting = stream.readBatch({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await session.close();
    await expect(stream.readBatch()).rejects.toMatchObject({ code: 'connection' });
  });

  test('a terminated sender is an error after the messages before it', async () => {
    const session = await connect(cluster);
    const start = segmentStartOf((await identifySystem(session)).flushLsn);
    const stream = await startWalStream(session, { start, timeline: TIMELINE_1 });
    await receive(stream, start, await writeWal());
    await cluster.sql('select pg_terminate_backend(pid) from pg_stat_replication');
    const reading = async (): Promise<void> => {
      for (;;) await stream.readBatch({ timeoutMs: 5000 });
    };
    await expect(reading()).rejects.toMatchObject({ code: 'connection' });
  });

  test('a fast shutdown is not held up by a stream that answers', async () => {
    const session = await connect(cluster);
    const start = segmentStartOf((await identifySystem(session)).flushLsn);
    await writeWal();
    const stream = await startWalStream(session, { start, timeline: TIMELINE_1 });
    const streaming = (async () => {
      let at = start;
      for await (const message of stream) {
        if (message.kind === 'wal') at = toLsn(message.start + BigInt(message.bytes.length));
        else if (message.replyRequested) stream.sendStatus({ write: at, flush: at });
      }
      return at;
    })();
    await sleep(200);
    const begun = Date.now();
    await cluster.server.stop('fast', { timeoutMs: 20_000 });
    expect(Date.now() - begun).toBeLessThan(5000);
    const received = await streaming;
    expect(stream.end).toEqual({ reason: 'server-shutdown' });
    expect(await session.lost).toMatchObject({ code: 'connection' });
    await cluster.server.start();
    // The shutdown checkpoint was the last record, and it arrived.
    const checkpoint = await cluster.value('select redo_lsn::text from pg_control_checkpoint()');
    expect(received).toBeGreaterThan(parseLsn(checkpoint));
  });
});

test('streaming follows a promotion to the next timeline', async () => {
  await using primary = await testCluster({ major: 18, initdb: { walSegmentMegabytes: 1 } });
  await primary.server.stop();
  const copy = join(primary.workFolder, 'copy');
  await cp(primary.dataFolder, copy, { recursive: true });
  await chmod(copy, 0o700);
  await cp(join(copy, 'PG_VERSION'), join(copy, 'standby.signal'));
  await using standby = await adoptCluster({
    major: 18,
    dataFolder: copy,
    overrides: { wal_keep_size: '64MB' },
  });
  await standby.server.start();
  const session = await connect(standby);
  const before = await identifySystem(session);
  const start = segmentStartOf(before.flushLsn);
  const stream = await startWalStream(session, { start, timeline: before.timeline });
  await receive(stream, start, before.flushLsn);
  await standby.server.promote();
  await standby.sql('create table after_promotion as select 1 as i');
  await receive(stream, before.flushLsn, null);
  const end = must(stream.end, 'the stream has ended');
  if (end.reason !== 'timeline-end') throw new Error(`ended by ${end.reason}`);
  expect(end.nextTimeline).toBe(2);

  const history = await readTimelineHistory(session, end.nextTimeline);
  const names = await readdir(join(copy, 'pg_wal'));
  expect(names).toContain(history.fileName);
  expect(history.content).toEqual(await readFile(join(copy, 'pg_wal', history.fileName)));

  const next = segmentStartOf(end.nextTimelineStart);
  const target = parseLsn(await standby.value('select pg_current_wal_flush_lsn()::text'));
  const continued = await startWalStream(session, { start: next, timeline: end.nextTimeline });
  const bytes = await receive(continued, next, target);
  expect(next + BigInt(bytes.length)).toBeGreaterThanOrEqual(target);
  continued.stop();
  await receive(continued, target, null);

  // At the switch point itself the old timeline has nothing to send.
  const over = await startWalStream(session, {
    start: end.nextTimelineStart,
    timeline: before.timeline,
  });
  expect(await over.readBatch()).toEqual([]);
  expect(over.end).toEqual(end);
  await session.close();
});
