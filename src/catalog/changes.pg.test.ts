import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeText } from '../../test/support/change-text.ts';
import { testCluster, type TestCluster } from '../../test/support/cluster.ts';
import { startLoad } from '../../test/support/load.ts';
import { seededRandom, randomBelow } from '../../test/support/random.ts';
import { makeTestArchive, type TestArchive } from '../../test/support/receiving.ts';
import { populate } from '../../test/support/schema.ts';
import { storeSegment } from '../archive/store-segment.ts';
import { sleep } from '../lib/sleep.ts';
import { readConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { Session } from '../postgres/connection/session.ts';
import { readWalSummaries } from '../postgres/connection/wal-summaries.ts';
import { systemSources } from '../postgres/connection/connection-sources.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { isSegmentName } from '../postgres/segment-name.ts';
import { rootHistory } from '../postgres/timeline-history.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { ChangeMap } from '../postgres/wal/change-map.ts';
import { readChanges } from './changes.ts';
import { readWalInventory } from './wal-inventory.ts';

/** Everything that changes files otherwise than page by page, beside the load's own work. */
const WHOLE_FILES = [
  `create database copied template shop strategy file_copy`,
  `create database logged template "ware house" strategy wal_log`,
  `create database passing`,
  `drop database passing`,
];
const RELATIONS = [
  'create table emptied as select n, md5(n::text) from generate_series(1, 20000) n',
  'create index on emptied (n)',
  'create table shrunk as select n, md5(n::text) from generate_series(1, 20000) n',
  'delete from shrunk where n > 1000',
  'vacuum (truncate) shrunk',
  'truncate emptied',
  'insert into emptied select n, md5(n::text) from generate_series(1, 3000) n',
  'create table dropped as select generate_series(1, 3000) n',
  "begin; drop table dropped; prepare transaction 'drop it'",
  "commit prepared 'drop it'",
  "begin; create table never as select generate_series(1, 3000) n; prepare transaction 'forget it'",
  "rollback prepared 'forget it'",
  'begin; create table undone as select generate_series(1, 3000) n; rollback',
  'create table moved as select n from generate_series(1, 5000) n',
  'alter table moved set tablespace "walnut space"',
  'create unlogged table passing (n int)',
  'reindex table shrunk',
  'vacuum (full, analyze) shrunk',
  'cluster customers using customers_pkey',
  'refresh materialized view spending',
];

describe.each([17, 18] as const)('changes of WAL of a running server of version %i', (major) => {
  let cluster: TestCluster;
  let session: Session | undefined;
  let archive: TestArchive;
  let from: Lsn;
  let to: Lsn;

  beforeAll(async () => {
    cluster = await testCluster({
      major,
      initdb: { walSegmentMegabytes: 1 },
      settings: { summarize_wal: 'on', wal_keep_size: '4GB' },
    });
    await populate(cluster, { scale: 0.2 });
    await cluster.sql('checkpoint');
    from = parseLsn(await cluster.value('select redo_lsn::text from pg_control_checkpoint()'));
    for (const statement of WHOLE_FILES) await cluster.sql(statement);
    const load = startLoad(cluster, { sessions: 3, restMs: 0, seed: 'changes' });
    await load.waitForCommits(30);
    for (const statement of RELATIONS) {
      const client = await cluster.connect({ database: 'shop' });
      await client.query(statement).finally(() => client.end());
    }
    await load.waitForCommits(200);
    await load.stop();
    await cluster.sql('checkpoint');
    to = parseLsn(await cluster.value('select redo_lsn::text from pg_control_checkpoint()'));
    await cluster.sql('select pg_switch_wal()');
    session = await openSession(
      readConnectionSettings(cluster.connectionString({ user: 'walnut' }), systemSources()),
      { applicationName: 'walnut test' },
    );
    archive = await makeTestArchive(cluster);
    await storeAll();
  }, 120_000);

  afterAll(async () => {
    await session?.close();
    await cluster.dispose();
  });

  /** In any order, as archivers deliver. */
  async function storeAll(): Promise<void> {
    const folder = join(cluster.dataFolder, 'pg_wal');
    const current = await cluster.value('select pg_walfile_name(pg_current_wal_lsn())');
    const names = (await readdir(folder)).filter((name) => isSegmentName(name) && name < current);
    const random = seededRandom('changes');
    while (names.length > 0) {
      const [name = ''] = names.splice(randomBelow(random, names.length), 1);
      const bytes = await readFile(join(folder, name));
      await storeSegment({ store: archive.store, ...archive.scope, level: 1 }, { name, bytes });
    }
  }

  async function summarized(): Promise<ChangeMap> {
    if (session === undefined) throw new Error('no session');
    const deadline = Date.now() + 60_000;
    for (;;) {
      const found = await readWalSummaries(session, { history: rootHistory(), from, to });
      if (found.kind === 'known') return found.map;
      if (Date.now() > deadline) throw new Error(found.reason);
      await sleep(200);
    }
  }

  test('are those of its own summaries, block by block', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const { signal } = new AbortController();
    const found = await readChanges(archive.store, inventory, {
      timeline: toTimelineId(1),
      from,
      to,
      signal,
    });
    if (found.kind !== 'known') throw new Error(found.reason);
    const expected = changeText(await summarized());
    expect(changeText(found.map)).toEqual(expected);
    expect(expected.length).toBeGreaterThan(50);
  }, 90_000);
});
