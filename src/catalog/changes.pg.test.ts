import { readdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changeText } from '../../test/support/change-text.ts';
import { testCluster, type TestCluster } from '../../test/support/cluster.ts';
import { startLoad } from '../../test/support/load.ts';
import { seededRandom, randomBelow } from '../../test/support/random.ts';
import { makeTestArchive, type TestArchive } from '../../test/support/receiving.ts';
import { populate } from '../../test/support/schema.ts';
import { storeSegment } from '../archive/store-segment.ts';
import { must } from '../lib/assert.ts';
import { sleep } from '../lib/sleep.ts';
import { readConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { Session } from '../postgres/connection/session.ts';
import { readWalSummaries } from '../postgres/connection/wal-summaries.ts';
import { systemSources } from '../postgres/connection/connection-sources.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, isSegmentName, segmentNumberAt } from '../postgres/segment-name.ts';
import { rootHistory } from '../postgres/timeline-history.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import type { ChangeMap, ForkIdentity } from '../postgres/wal/change-map.ts';
import { PAGE_BYTES, parsePageHeader } from '../postgres/cluster/data-page.ts';
import { classifyFile, RELATION_FORKS } from '../postgres/cluster/relation-file.ts';
import { decodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import { walKeys } from '../repository/layout.ts';
import { readWalObjectChanges } from '../repository/wal-object.ts';
import { readChanges } from './changes.ts';
import { sealChanges } from './seal-changes.ts';
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

const SIZE = 1024 * 1024;
const TRANSACTION_MANAGER = 1;

/** Lets the commit that drops many relations begin at the end of a segment: its main data is longer than spans keep. */
async function dropMany(cluster: TestCluster): Promise<void> {
  const client = await cluster.connect({ database: 'shop' });
  const each = (statement: string): string =>
    `do $$ begin for i in 1..400 loop execute format('${statement}', i); end loop; end $$`;
  try {
    await client.query(each('create table many_%s (n int, t text)'));
    await client.query('begin');
    await client.query(each('drop table many_%s'));
    for (let offset = 0; offset < SIZE - 6000;) {
      const { rows } = await client.query<{ lsn: string }>(
        "select pg_logical_emit_message(false, 'fill', repeat('filler ', 400))::text as lsn",
      );
      offset = Number(parseLsn(rows[0]?.lsn ?? '')) % SIZE;
    }
    await client.query('commit');
  } finally {
    await client.end();
  }
}

/** In any order, as archivers deliver. */
async function storeAll(cluster: TestCluster, archive: TestArchive): Promise<void> {
  const folder = join(cluster.dataFolder, 'pg_wal');
  // pg_walfile_name names the file before a boundary up to 16, and the one behind it from 17 on.
  const lsn = parseLsn(await cluster.value('select pg_current_wal_lsn()::text'));
  const number = segmentNumberAt(lsn, SIZE);
  const current: string = formatSegmentName({ timeline: toTimelineId(1), number }, SIZE);
  const names = (await readdir(folder)).filter((name) => isSegmentName(name) && name < current);
  const random = seededRandom('changes');
  while (names.length > 0) {
    const [name = ''] = names.splice(randomBelow(random, names.length), 1);
    const bytes = await readFile(join(folder, name));
    await storeSegment({ store: archive.store, ...archive.scope, level: 1 }, { name, bytes });
  }
}

type WrittenPage = { readonly fork: ForkIdentity; readonly block: number };

/** Pages on disk whose header names a record that ended in the range: an opinion of its own on what changed. */
async function pagesWritten(
  cluster: TestCluster,
  { from, to }: { readonly from: Lsn; readonly to: Lsn },
): Promise<WrittenPage[]> {
  const written: WrittenPage[] = [];
  const entries = await readdir(cluster.dataFolder, { recursive: true });
  const spaces = await readdir(join(cluster.dataFolder, 'pg_tblspc'));
  for (const space of spaces) {
    const path = join('pg_tblspc', space);
    const inside = await readdir(await realpath(join(cluster.dataFolder, path)), {
      recursive: true,
    });
    entries.push(...inside.map((entry) => join(path, entry)));
  }
  for (const path of entries) {
    const file = classifyFile(path);
    if (file.kind !== 'relation' || file.isTemporary) continue;
    const bytes = await readFile(join(cluster.dataFolder, path));
    for (let at = 0; at + PAGE_BYTES <= bytes.length; at += PAGE_BYTES) {
      const { lsn } = parsePageHeader(bytes, at);
      if (lsn <= from || lsn > to) continue;
      const block = file.segment * 131_072 + at / PAGE_BYTES;
      written.push({ fork: { ...file, fork: RELATION_FORKS.indexOf(file.fork) }, block });
    }
  }
  return written;
}

function isKnown(map: ChangeMap, { fork, block }: WrittenPage): boolean {
  return (
    block >= (map.limitBlock(fork) ?? Infinity) ||
    map.changedBlocks(fork, block, block + 1).length > 0 ||
    map.isRewritten(fork.tablespaceOid, fork.databaseOid)
  );
}

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
      settings: { summarize_wal: 'on', wal_keep_size: '4GB', max_locks_per_transaction: 256 },
    });
    await populate(cluster, { scale: 0.2 });
    await cluster.sql('checkpoint');
    from = parseLsn(await cluster.value('select redo_lsn::text from pg_control_checkpoint()'));
    for (const statement of WHOLE_FILES) await cluster.sql(statement);
    const load = startLoad(cluster, { sessions: 3, restMs: 0, seed: 'changes' });
    await load.waitForCommits(30);
    for (const statement of RELATIONS) await cluster.sql(statement, { database: 'shop' });
    await load.waitForCommits(200);
    await load.stop();
    await dropMany(cluster);
    await cluster.sql('checkpoint');
    to = parseLsn(await cluster.value('select redo_lsn::text from pg_control_checkpoint()'));
    await cluster.sql('select pg_switch_wal()');
    session = await openSession(
      readConnectionSettings(cluster.connectionString({ user: 'walnut' }), systemSources()),
      { applicationName: 'walnut test' },
    );
    archive = await makeTestArchive(cluster);
    await storeAll(cluster, archive);
  }, 120_000);

  afterAll(async () => {
    await session?.close();
    await cluster.dispose();
  });

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

  test('cover a commit whose many dropped relations are listed over a segment’s end', async () => {
    const inventory = await readWalInventory(archive.store, archive.scope);
    const { server, name: incarnation } = inventory;
    const timeline = toTimelineId(1);
    const run = must(inventory.timelines.get(timeline)?.runs[0], 'segments are stored');
    let found = 0;
    for (let number = run.first; number <= run.last; number += 1n) {
      const name = formatSegmentName({ timeline, number }, SIZE);
      const key = walKeys.segment({ server, incarnation, timeline }, name);
      const { tail } = decodeChangeSpan(await readWalObjectChanges(archive.store, key));
      if (tail?.bytes[17] === TRANSACTION_MANAGER && tail.totalBytes > 40_000) found += 1;
    }
    expect(found).toBeGreaterThan(0);
    const sealed = await sealChanges(archive.store, inventory, { timeline, ...run });
    expect(sealed.kind).toBe('sealed');
    const { signal } = new AbortController();
    const again = await readWalInventory(archive.store, archive.scope);
    const range = { timeline, from, to, signal };
    const changes = await readChanges(archive.store, again, range);
    if (changes.kind !== 'known') throw new Error(changes.reason);
    expect(changeText(changes.map)).toEqual(changeText(await summarized()));
  }, 90_000);

  test('cannot be had from summaries where these do not reach, or the role may not read them', async () => {
    const open = async (user: string): Promise<Session> =>
      openSession(readConnectionSettings(cluster.connectionString({ user }), systemSources()), {
        applicationName: 'walnut test',
      });
    const plain = await open('replicator');
    try {
      const history = rootHistory();
      expect(await readWalSummaries(plain, { history, from, to: parseLsn('FF/0') })).toMatchObject({
        kind: 'gap',
        reason: expect.stringContaining('no WAL summary'),
      });
      // A role without any membership or grant may call the functions, until somebody takes that away.
      expect(await readWalSummaries(plain, { history, from, to })).toMatchObject({ kind: 'known' });
      await cluster.sql('revoke execute on function pg_available_wal_summaries() from public');
      expect(await readWalSummaries(plain, { history, from, to })).toMatchObject({
        kind: 'gap',
        from,
        reason: expect.stringContaining('permission denied'),
      });
      await cluster.sql('grant execute on function pg_available_wal_summaries() to public');
    } finally {
      await plain.close();
    }
  });
});

describe.each([13, 14, 15, 16] as const)(
  'changes of WAL of a running server of version %i',
  (major) => {
    test('name every page on disk that a record of the range wrote', async () => {
      await using cluster = await testCluster({
        major,
        initdb: { walSegmentMegabytes: 1 },
        settings: { wal_keep_size: '4GB' },
      });
      await populate(cluster, { scale: 0.05 });
      await cluster.sql('checkpoint');
      const from = parseLsn(
        await cluster.value('select redo_lsn::text from pg_control_checkpoint()'),
      );
      const load = startLoad(cluster, { sessions: 2, restMs: 0, seed: 'changes' });
      await load.waitForCommits(60);
      await load.stop();
      for (const statement of RELATIONS) await cluster.sql(statement, { database: 'shop' });
      await cluster.sql('checkpoint');
      const to = parseLsn(
        await cluster.value('select redo_lsn::text from pg_control_checkpoint()'),
      );
      await cluster.sql('select pg_switch_wal()');
      const archive = await makeTestArchive(cluster);
      await storeAll(cluster, archive);
      const inventory = await readWalInventory(archive.store, archive.scope);
      const { signal } = new AbortController();
      const found = await readChanges(archive.store, inventory, {
        timeline: toTimelineId(1),
        from,
        to,
        signal,
      });
      if (found.kind !== 'known') throw new Error(found.reason);
      const { map } = found;
      const written = await pagesWritten(cluster, { from, to });
      expect(written.length).toBeGreaterThan(100);
      expect(written.filter((page) => page.fork.fork !== 1 && !isKnown(map, page))).toEqual([]);
    }, 90_000);
  },
);
