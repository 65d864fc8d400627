/**
 * The whole story on a real server, by the built command line: back it up from every source while sessions write, keep
 * its WAL, and bring it back to every kind of target with every action.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasCode } from '../../src/lib/walnut-error.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf, type ClusterContent } from '../support/content.ts';
import { databaseOfSession, lostCommits, mark, startLoad, type Marker } from '../support/load.ts';
import { testMatrix } from '../support/matrix.ts';
import { pickOne, seededRandom } from '../support/random.ts';
import { protect, waitForRecovery, type ProtectedServer } from '../support/protected-server.ts';
import { populate, WORKLOAD_DATABASES, WORKLOAD_TABLESPACE } from '../support/schema.ts';
import type { WalnutProcess } from '../support/walnut.ts';

const SOURCES = ['local', 'connection', 'stream'] as const;
type Source = (typeof SOURCES)[number];

const TARGETS = ['time', 'lsn', 'xid', 'name', 'immediate', 'latest'] as const;
type Target = (typeof TARGETS)[number];

const ACTIONS = ['pause', 'promote', 'shutdown'] as const;
type Action = (typeof ACTIONS)[number];

const DATABASES = ['postgres', ...WORKLOAD_DATABASES] as const;

/** One backup, and the moment after it that restores aim at. */
type Chapter = {
  readonly backup: string;
  readonly marker: Marker;
  /** Acknowledged before the backup began and after it ended: what the backup alone has, at least and at most. */
  readonly before: readonly number[];
  readonly after: readonly number[];
};

describe.each(testMatrix())('PostgreSQL $major', (row) => {
  const name = `pg${row.major}`;
  const sources = row.select('source', SOURCES);
  const chapters: Chapter[] = [];
  let cluster: TestCluster;
  let server: ProtectedServer;
  let accident: Marker;
  let ending: ClusterContent;
  let acknowledged: readonly number[];

  beforeAll(async () => {
    cluster = await testCluster({ major: row.major, initdb: { dataChecksums: true } });
    await populate(cluster, { scale: 0.2 });
    server = await protect(cluster, { name });
    let receiver: WalnutProcess | undefined;
    const load = startLoad(cluster, { seed: name, restMs: 8 });
    try {
      for (const source of sources) {
        await load.waitForCommits(20);
        const before = load.acknowledged;
        // The first one receives its WAL itself.
        const { id } = await server.backup(['--from', source], { env: credentials(source) });
        const after = load.acknowledged;
        receiver ??= await server.receive({ env: credentials('stream') });
        await load.waitForCommits(20);
        const marker = await load.mark(`after ${source}`);
        chapters.push({ backup: id, marker, before, after });
      }
      await load.waitForCommits(50);
      await load.stop();
      acknowledged = load.acknowledged;
      accident = await dropTable();
      ending = await contentOf(cluster);
      await server.waitUntilStored(await cluster.value('select pg_current_wal_flush_lsn()'));
      const { exitCode } = (await receiver?.stop()) ?? {};
      if (exitCode !== 0) throw new Error(`wal receive: exit ${exitCode}\n${receiver?.stderr}`);
    } catch (cause) {
      throw new Error(
        `tell the story; the receiver said:\n${receiver?.stdout}${receiver?.stderr}`,
        { cause },
      );
    } finally {
      await load.stop();
      await receiver?.[Symbol.asyncDispose]();
    }
  }, 180_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  /** A role with REPLICATION and nothing else for the stream; the one with the grants of the guide for the others. */
  function credentials(source: Source): Record<string, string> {
    const user = source === 'stream' ? 'replicator' : 'walnut';
    return {
      [`WALNUT_SERVER_${name.toUpperCase()}_CONNECTION`]: cluster.connectionString({ user }),
    };
  }

  async function dropTable(): Promise<Marker> {
    await cluster.sql('create table victim as select n from generate_series(1, 1000) n');
    const marker = await mark(cluster, 'before the accident', acknowledged);
    await cluster.sql('drop table victim');
    return marker;
  }

  /** A chapter in turn, so that the targets together restore every backup. */
  function chapterOf(target: Target): Chapter {
    const chapter = chapters[TARGETS.indexOf(target) % chapters.length];
    if (chapter === undefined) throw new Error('no chapter');
    return chapter;
  }

  /** In turn on full rows, another turn on each of them. */
  function actionOf(target: Target): Action {
    if (row.extent === 'drawn') return row.select('action', ACTIONS)[0] ?? 'pause';
    return ACTIONS[(TARGETS.indexOf(target) + row.major) % ACTIONS.length] ?? 'pause';
  }

  function targetWords(target: Target, { backup, marker }: Chapter): readonly string[] {
    const words: Readonly<Record<Target, readonly string[]>> = {
      time: ['--to-time', marker.time],
      lsn: ['--to-lsn', marker.lsn],
      xid: ['--to-xid', marker.xid],
      name: ['--to-name', marker.name],
      immediate: ['--backup', backup, '--to-immediate'],
      latest: ['--backup', backup],
    };
    return words[target];
  }

  /** What is wrong with the content of the restored cluster. */
  async function faultsOf(
    target: Target,
    restored: TestCluster,
    chapter: Chapter,
  ): Promise<string[]> {
    if (target === 'immediate') return await faultsOfBackupAlone(restored, chapter);
    const expected = target === 'latest' ? ending : chapter.marker.content;
    const commits = target === 'latest' ? acknowledged : chapter.marker.acknowledged;
    return [
      ...contentDifferences(expected, await contentOf(restored)),
      ...(await lostCommits(restored, commits)),
    ];
  }

  test.each(row.select('target', TARGETS))('comes back to: %s', async (target) => {
    const chapter = chapterOf(target);
    const action = actionOf(target);
    const wal = pickOne(seededRandom(`${row.major}/${target}`), ['fetch', 'copy']);
    const document = await server.restore(target, {
      words: [...targetWords(target, chapter), '--action', action, '--wal', wal],
      tablespaces: [WORKLOAD_TABLESPACE],
    });
    expect(document).toMatchObject({ backup: chapter.backup, wal: { mode: wal } });
    if (action === 'shutdown') await expectShutdown(server, target);
    // It would shut down at its target again and again.
    const overrides = action === 'shutdown' ? { recovery_target_action: 'pause' } : {};
    await using restored = await server.adopt(target, { overrides });
    await restored.server.start();
    await waitForRecovery(restored, action === 'promote' ? 'promote' : 'pause');
    expect(await faultsOf(target, restored, chapter), `${wal}, ${action}`).toEqual([]);
    if (action !== 'promote') await restored.server.promote();
    await expectUsable(restored);
  });

  // PostgreSQL stops before the commit that follows the time, but has taken that transaction's locks by then: paused
  // there, every query of the dropped table waited for ever.
  test.runIf(row.extent === 'full')(
    'a table that is dropped right after the target time can be read while paused',
    async () => {
      const words = ['--to-time', accident.time];
      await server.restore('accident', { words, tablespaces: [WORKLOAD_TABLESPACE] });
      await using restored = await server.adopt('accident');
      await restored.server.start();
      await waitForRecovery(restored, 'pause');
      const client = await restored.connect();
      try {
        await client.query("set statement_timeout = '5 s'");
        const { rows } = await client.query('select count(*)::int as rows from victim');
        expect(rows).toEqual([{ rows: 1000 }]);
      } finally {
        await client.end();
      }
      expect(contentDifferences(accident.content, await contentOf(restored))).toEqual([]);
    },
  );
});

/** The startup process ends with 3, and the server then shuts down as if it had been told to. */
async function expectShutdown(server: ProtectedServer, name: string): Promise<void> {
  await using restored = await server.adopt(name);
  await restored.server.start().catch((error: unknown) => {
    // It may reach its target before it lets anyone in.
    if (!hasCode(error, 'postgresql')) throw error;
  });
  expect(await restored.server.waitForExit()).toMatchObject({ exitCode: 0 });
  expect(await restored.server.readLog()).toContain('shutdown at recovery target');
}

/** The end of a backup is a moment that nobody marked, somewhere between the commits before and after it. */
async function faultsOfBackupAlone(restored: TestCluster, chapter: Chapter): Promise<string[]> {
  const faults = chapter.before.map(async (least, session) => {
    const [row] = await restored.sql<{ rows: number; last: number }>(
      'select count(*)::int as rows, coalesce(max(number), 0) as last from ledger where session = $1',
      { database: databaseOfSession(session), parameters: [session] },
    );
    const { rows = -1, last = -1 } = row ?? {};
    const most = (chapter.after[session] ?? 0) + 1;
    const right = rows === last && last >= least && last <= most;
    return right ? [] : [`session ${session}: ${rows} rows to ${last}, not ${least} … ${most}`];
  });
  return (await Promise.all(faults)).flat();
}

/** Indexes agree with their tables, unlogged tables are empty and usable, and everything takes new rows. */
async function expectUsable(restored: TestCluster): Promise<void> {
  expect(await restored.value('show archive_mode')).toBe('off');
  for (const database of DATABASES) {
    await restored.sql('create extension if not exists amcheck', { database });
    await restored.sql(
      `select bt_index_check(c.oid, true) from pg_class c join pg_am a on a.oid = c.relam
       where a.amname = 'btree' and c.relpersistence = 'p' and c.relkind = 'i'`,
      { database },
    );
  }
  for (const database of WORKLOAD_DATABASES) {
    expect(await restored.value('select count(*) from visits', { database })).toBe('0');
    await restored.sql("insert into visits (page) values ('/again')", { database });
    await restored.sql("insert into orders (customer, lines, total) values (1, '[]', 12)", {
      database,
    });
    await restored.sql('refresh materialized view spending', { database });
    await restored.sql('vacuum', { database });
    await restored.sql(
      "insert into documents (title, body) values ('new', lo_from_bytea(0, 'x'))",
      {
        database,
      },
    );
  }
  await restored.sql('checkpoint');
}
