/** WAL on its way into a repository: what waits in pg_wal pushed by archive_command, and what a slot holds received. */
import { join } from 'node:path';
import { must } from '../../src/lib/assert.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { formatLsn } from '../../src/postgres/lsn.ts';
import { toLsn } from '../../src/postgres/lsn.ts';
import { makeOwnedFolder } from '../../src/sandbox/cluster-folder.ts';
import { removeFolder } from '../../src/sandbox/scratch-folder.ts';
import type { BenchCluster } from '../bench-cluster.ts';
import type { PreparedCommand } from '../contenders/contender.ts';
import { measure, measureServer } from '../measure.ts';
import {
  inTurn,
  leave,
  measureCommand,
  newAttempt,
  type Bench,
  type Scenario,
} from './scenario.ts';

const SEGMENT_BYTES: number = 16 * 1024 * 1024;
const RECEIVEWAL_SLOT = 'bench_receivewal';
const POLL_MS = 20;
const WAIT_MS_MAX: number = 30 * 60 * 1000;

/** Segments that wait are archived by each contender in turn; new ones for each. */
export const walPush: Scenario = async (bench) => {
  const { cluster, contenders, options, results } = bench;
  const [level = 1] = options.levels;
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const contender of inTurn(contenders, repetition)) {
      if (contender.name === 'pg_basebackup') continue;
      const attempt = await newAttempt(bench, contender, level);
      const command = contender.archiveCommand(attempt);
      await cluster.archiveWith(command);
      // A repository knows its server from the first backup on.
      await measureCommand(attempt, must(contender.backup(attempt, 'full'), 'a full backup'));
      await cluster.archiveWith('');
      const bytes = await generateWal(bench);
      await cluster.switchWal();
      const last = await lastFinishedSegment(cluster);
      const measurement = await measureServer(cluster.server.pid ?? 0, attempt.folder, async () => {
        await cluster.archiveWith(command);
        await waitUntil(async () => (await lastArchivedSegment(cluster)) >= last);
      });
      results.add({
        section: `WAL push, zstd-${level}`,
        contender: contender.name,
        repetition,
        measurement,
        amountBytes: bytes,
        storedBytes: null,
      });
      await leave(attempt);
    }
  }
};

/** A record on disk: the position behind a switch is one that the server may reach only when it has something to say. */
async function logSomething(cluster: BenchCluster): Promise<void> {
  await cluster.query("SELECT pg_logical_emit_message(true, 'bench', '')");
}

type Receiver = {
  readonly name: string;
  readonly slot: string;
  readonly folder: string;
  command(target: bigint): PreparedCommand;
  /** Ends by itself where the WAL ends. */
  readonly endsItself: boolean;
};

/** The same WAL, held by slots, is received by Walnut, which stores it, and by pg_receivewal, which only writes it. */
export const walReceive: Scenario = async (bench) => {
  const { cluster, options, results } = bench;
  const [level = 1] = options.levels;
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    const receivers = [...(await walnutReceiver(bench)), ...(await receivewal(bench))];
    for (const { slot } of receivers) {
      await cluster.query(`SELECT pg_create_physical_replication_slot('${slot}', true)`);
    }
    const bytes = await generateWal(bench);
    await cluster.switchWal();
    await logSomething(cluster);
    const target = await cluster.walPosition();
    // pg_receivewal ends where there is WAL behind its target.
    await logSomething(cluster);
    for (const receiver of receivers) {
      const arrived = async (): Promise<void> =>
        waitUntil(async () => (await slotPosition(cluster, receiver.slot)) >= target);
      const measurement = await measure({
        ...receiver.command(target),
        user: cluster.server.user,
        folder: receiver.folder,
        home: cluster.workFolder,
        serverPid: cluster.server.pid ?? 0,
        ...(receiver.endsItself ? {} : { done: arrived }),
      });
      results.add({
        section: `WAL receive, zstd-${level}`,
        contender: receiver.name,
        repetition,
        measurement,
        amountBytes: bytes,
        storedBytes: null,
      });
      await cluster.query(`SELECT pg_drop_replication_slot('${receiver.slot}')`);
      await removeFolder(receiver.folder);
    }
  }
};

async function walnutReceiver(bench: Bench): Promise<Receiver[]> {
  const { cluster, contenders, options } = bench;
  const walnut = contenders.find((contender) => contender.receive !== undefined);
  if (walnut?.receive === undefined) return [];
  const attempt = await newAttempt(bench, walnut, options.levels[0] ?? 1);
  await cluster.archiveWith(walnut.archiveCommand(attempt));
  await measureCommand(attempt, must(walnut.backup(attempt, 'full'), 'a full backup'));
  await cluster.archiveWith('/bin/true');
  const { slot, ...command } = walnut.receive(attempt);
  const { folder } = attempt;
  return [{ name: walnut.name, slot, folder, command: () => command, endsItself: false }];
}

async function receivewal({ cluster, options }: Bench): Promise<Receiver[]> {
  const program = options.pgReceivewal;
  if (program === undefined) return [];
  const folder = join(cluster.workFolder, 'pg_receivewal');
  await makeOwnedFolder(folder, cluster.server.user);
  const command = (target: bigint): PreparedCommand => ({
    command: [
      program,
      `--dbname=${cluster.server.connectionString()}`,
      `--directory=${folder}`,
      `--slot=${RECEIVEWAL_SLOT}`,
      `--endpos=${formatLsn(toLsn(target))}`,
    ],
  });
  return [{ name: 'pg_receivewal', slot: RECEIVEWAL_SLOT, folder, command, endsItself: true }];
}

/** Writes WAL by ordinary statements; answers its bytes. */
async function generateWal({ cluster, options }: Bench): Promise<number> {
  const begin = await cluster.walPosition();
  const wanted = BigInt(options.walSegments * SEGMENT_BYTES);
  await cluster.query('CREATE TABLE wal_source (LIKE events)');
  while ((await cluster.walPosition()) - begin < wanted) {
    await cluster.query('INSERT INTO wal_source SELECT * FROM events LIMIT 20000');
    await cluster.query('UPDATE wal_source SET kind = reverse(kind) WHERE id % 3 = 0');
  }
  await cluster.query('DROP TABLE wal_source');
  return Number((await cluster.walPosition()) - begin);
}

async function lastFinishedSegment(cluster: BenchCluster): Promise<string> {
  const [row] = await cluster.query(
    `SELECT pg_walfile_name(pg_current_wal_insert_lsn() - ${SEGMENT_BYTES}) AS name`,
  );
  return row?.['name'] ?? '';
}

async function lastArchivedSegment(cluster: BenchCluster): Promise<string> {
  const [row] = await cluster.query('SELECT last_archived_wal AS name FROM pg_stat_archiver');
  return row?.['name'] ?? '';
}

async function slotPosition(cluster: BenchCluster, slot: string): Promise<bigint> {
  const [row] = await cluster.query(
    `SELECT (restart_lsn - '0/0')::text AS bytes FROM pg_replication_slots WHERE slot_name = '${slot}'`,
  );
  return BigInt(row?.['bytes'] ?? 0);
}

async function waitUntil(isDone: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_MS_MAX;
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error('WAL was not stored within half an hour');
    await sleep(POLL_MS);
  }
}
