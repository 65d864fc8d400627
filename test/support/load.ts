import type { Client } from 'pg';
import { messageOf } from '../../src/lib/walnut-error.ts';
import { sleep } from '../../src/lib/sleep.ts';
import type { TestCluster } from './cluster.ts';
import { contentOf, type ClusterContent } from './content.ts';
import { MAINTENANCE, OPERATIONS } from './operations.ts';
import { pickOne, randomBelow, seededRandom, type Random } from './random.ts';
import { WORKLOAD_DATABASES } from './schema.ts';

export type LoadOptions = {
  /** Default 4, taking turns among the databases. */
  readonly sessions?: number;
  readonly seed?: string;
  /** Rest between two transactions of a session; default 2 ms, 0 for as fast as it goes. */
  readonly restMs?: number;
  /** After a lost connection try again until stopped; default: the session ends. */
  readonly reconnect?: boolean;
  /** Where the sessions connect; default the cluster's databases as superuser. */
  readonly connect?: (database: string) => Promise<Client>;
};

/** A moment that a restore can aim at in any way, and what the cluster held then. */
export type Marker = {
  /** Also the name of its restore point. */
  readonly name: string;
  /** The insert position right after the marker's commit, as PostgreSQL prints it. */
  readonly lsn: string;
  /** Of the marker's transaction; every acknowledged commit before it has committed. */
  readonly xid: string;
  /** The server's clock after the marker's commit and before anything later, with microseconds, in UTC. */
  readonly time: string;
  readonly timeline: number;
  readonly content: ClusterContent;
  /** Commits acknowledged by then, by session. */
  readonly acknowledged: readonly number[];
};

export type LoadSummary = { readonly commits: number; readonly acknowledged: readonly number[] };

const RECONNECT_MS = 50;
/** One in so many transactions is of that kind. */
const ABORTED = 15;
const PREPARED = 20;
const MAINTAINED = 25;

/** Starts sessions that insert, update, delete and vacuum in the schema of `populate` until `stop`. */
export function startLoad(cluster: TestCluster, options: LoadOptions = {}): Load {
  return new Load(cluster, options);
}

/**
 * Running sessions. Each numbers its transactions 1, 2, … and enters each number into the ledger of its database in
 * the same transaction, so that any copy of the cluster shows which commits it has.
 */
export class Load {
  readonly #cluster: TestCluster;
  readonly #options: LoadOptions;
  readonly #acknowledged: number[];
  readonly #failures: unknown[] = [];
  readonly #stopping = new AbortController();
  readonly #sessions: Promise<void>[];
  #gate: Gate | undefined;
  #busy = 0;

  constructor(cluster: TestCluster, options: LoadOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#acknowledged = Array.from({ length: options.sessions ?? 4 }, () => 0);
    this.#sessions = this.#acknowledged.map(async (_, session) => {
      await this.#runSession(session).catch((error: unknown) => this.#failures.push(error));
    });
  }

  /** Commits that the server has acknowledged. */
  get commits(): number {
    return this.#acknowledged.reduce((sum, count) => sum + count, 0);
  }

  /** The last acknowledged number of each session. */
  get acknowledged(): readonly number[] {
    return [...this.#acknowledged];
  }

  /** Waits until so many more commits are acknowledged; fails when the sessions end before. */
  async waitForCommits(count: number): Promise<void> {
    const goal = this.commits + count;
    let ended = false;
    void Promise.all(this.#sessions).then(() => (ended = true));
    while (this.commits < goal) {
      if (ended) throw new Error('the load ended', { cause: this.#failures[0] });
      await sleep(5);
    }
  }

  /** Holds all sessions between two transactions. */
  async pause(): Promise<void> {
    this.#gate ??= makeGate();
    while (this.#busy > 0) await sleep(2);
  }

  resume(): void {
    this.#gate?.open();
    this.#gate = undefined;
  }

  /** Pauses, marks the moment, computes the content, resumes. */
  async mark(name: string): Promise<Marker> {
    await this.pause();
    try {
      const marker = await mark(this.#cluster, name, this.acknowledged);
      // Recovery to a time stops before the next commit: without one here it takes sequence values of transactions that
      // were under way by then, because those do not wait for a commit.
      await this.#cluster.value('select txid_current()::text');
      return marker;
    } finally {
      this.resume();
    }
  }

  /** Ends the sessions after their current transactions. A lost connection is no failure, any other error is. */
  async stop(): Promise<LoadSummary> {
    this.#stopping.abort();
    this.resume();
    await Promise.all(this.#sessions);
    const failure = this.#failures.find((error) => !isConnectionLoss(error));
    if (failure !== undefined) throw new Error('the load failed', { cause: failure });
    return { commits: this.commits, acknowledged: this.acknowledged };
  }

  async #runSession(session: number): Promise<void> {
    const random = seededRandom(`${this.#options.seed ?? 'load'}/${session}`);
    for (;;) {
      try {
        return await this.#work(session, random);
      } catch (error) {
        const again = this.#options.reconnect === true && isConnectionLoss(error);
        if (!again || this.#stopping.signal.aborted) throw error;
        await sleep(RECONNECT_MS);
      }
    }
  }

  async #work(session: number, random: Random): Promise<void> {
    const database = databaseOfSession(session);
    const { connect, restMs = 2 } = this.#options;
    const client = await (connect?.(database) ?? this.#cluster.connect({ database }));
    try {
      let number = await resumeSession(client, session);
      while (!this.#stopping.signal.aborted) {
        // Checked and counted without a pause between, or `pause` could miss this session.
        while (this.#gate !== undefined) await this.#gate.opened;
        this.#busy += 1;
        try {
          number += 1;
          await transact(client, random, { session, number });
          this.#acknowledged[session] = number;
          if (randomBelow(random, MAINTAINED) === 0)
            await client.query(pickOne(random, MAINTENANCE));
        } finally {
          this.#busy -= 1;
        }
        await sleep(restMs);
      }
    } finally {
      await client.end().catch(() => {});
    }
  }
}

/** Marks a moment on a cluster where nothing else writes. */
export async function mark(
  cluster: TestCluster,
  name: string,
  acknowledged: readonly number[] = [],
): Promise<Marker> {
  const [database] = WORKLOAD_DATABASES;
  const xid = await cluster.value(
    'insert into marks values ($1, txid_current()::text, clock_timestamp()) returning xid',
    { database, parameters: [name] },
  );
  const [facts] = await cluster.sql<{ lsn: string; time: string; timeline: number }>(
    `select pg_current_wal_insert_lsn()::text as lsn, (clock_timestamp() at time zone 'UTC')::text || '+00' as time,
            ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline`,
  );
  if (facts === undefined) throw new Error('no row');
  await cluster.value('select pg_create_restore_point($1)', { parameters: [name] });
  return { name, xid, ...facts, acknowledged, content: await contentOf(cluster) };
}

/** The database in which a session of a load works and keeps its ledger. */
export function databaseOfSession(session: number): string {
  return WORKLOAD_DATABASES[session % WORKLOAD_DATABASES.length] ?? WORKLOAD_DATABASES[0];
}

/**
 * What is wrong with the ledgers of a copy that must have every acknowledged commit: numbers that are missing. Of each
 * session one more may be there, the one that was on its way when the server died.
 */
export async function lostCommits(
  cluster: TestCluster,
  acknowledged: readonly number[],
): Promise<string[]> {
  const losses = acknowledged.map(async (count, session) => {
    const [row] = await cluster.sql<{ rows: number; last: number }>(
      'select count(*)::int as rows, coalesce(max(number), 0) as last from ledger where session = $1',
      { database: databaseOfSession(session), parameters: [session] },
    );
    if (row === undefined) return [`session ${session}: no answer`];
    const { rows, last } = row;
    const right = rows === last && last >= count && last <= count + 1;
    return right ? [] : [`session ${session}: ${rows} entries to ${last}, acknowledged ${count}`];
  });
  return (await Promise.all(losses)).flat();
}

/** The last number of the session that is in the ledger, after a prepared transaction of its former life is settled. */
async function resumeSession(client: Client, session: number): Promise<number> {
  const { rows: prepared } = await client.query<{ gid: string }>(
    "select gid from pg_prepared_xacts where gid like 'load ' || $1 || ' %' and database = current_database()",
    [String(session)],
  );
  for (const { gid } of prepared) await client.query(`commit prepared '${gid}'`);
  const { rows } = await client.query<{ last: number }>(
    'select coalesce(max(number), 0) as last from ledger where session = $1',
    [session],
  );
  return rows[0]?.last ?? 0;
}

type Gate = { readonly opened: Promise<void>; readonly open: () => void };

function makeGate(): Gate {
  let open = (): void => {};
  const opened = new Promise<void>((fulfil) => (open = fulfil));
  return { opened, open: () => open() };
}

type Entry = { readonly session: number; readonly number: number };

async function transact(client: Client, random: Random, entry: Entry): Promise<void> {
  const name = pickOne(random, Object.keys(OPERATIONS));
  if (randomBelow(random, ABORTED) === 0) {
    await client.query('begin');
    await OPERATIONS[name]?.(client, random, entry.session);
    await client.query('rollback');
  }
  await client.query('begin');
  await OPERATIONS[name]?.(client, random, entry.session);
  await client.query(
    'insert into ledger (session, number, entry, amount) values ($1, $2, $3, $4)',
    [entry.session, entry.number, name, randomBelow(random, 100_000) / 100],
  );
  if (randomBelow(random, PREPARED) > 0) {
    await client.query('commit');
    return;
  }
  const id = `'load ${entry.session} ${entry.number}'`;
  await client.query(`prepare transaction ${id}`);
  await client.query(`commit prepared ${id}`);
}

/**
 * 57P01 to 57P03: the server shuts down, crashed or starts; 25006: it is a standby until it is promoted (Appendix A of the
 * manual); others come from the socket.
 */
function isConnectionLoss(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && /^(57P0[1-3]|25006|08\w{3}|E[A-Z]+)$/.test(code)) return true;
  return /Connection terminated|not queryable|socket|connection error/i.test(messageOf(error));
}
