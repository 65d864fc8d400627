/** What retention and compaction leave restores, whatever moment they are killed at. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  compactDocument,
  deleteDocument,
  expireDocument,
  keepDocument,
} from '../../src/api/retention-contract.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { isFullMatrix } from '../support/matrix.ts';
import { protect, waitForRecovery, type ProtectedServer } from '../support/protected-server.ts';
import { drawFrom, drawSeed, randomBelow, seededRandom } from '../support/random.ts';

const TYPES = ['full', 'incremental', 'incremental', 'full', 'incremental', 'incremental'] as const;
const ROWS = 20_000;
/** Between them lie the start of the program and the end of its work. */
const KILL_MS_MIN = 150;
const KILL_MS_RANGE = 600;
const KILLS = 4;
const CHECKSUM = `select count(*)::text || ' ' || sum(hashtext(t::text)::bigint)::text from goods t`;

const seed = drawSeed();
const random = seededRandom(seed);

describe(`retention of PostgreSQL 18 (seed ${seed})`, () => {
  let cluster: TestCluster;
  let server: ProtectedServer;
  const backups: { readonly id: string; readonly checksum: string }[] = [];

  beforeAll(async () => {
    cluster = await testCluster({ major: 18 });
    await cluster.sql('create table goods (id int, note text)');
    await cluster.sql(
      `insert into goods select n, md5(n::text) || repeat('x', n % 90) from generate_series(1, ${ROWS}) n`,
    );
    server = await protect(cluster, {
      toml: '[server.shop.retention]\nkeep = { full = 1 }\n',
    });
    for (const [index, type] of TYPES.entries()) {
      await cluster.sql(`update goods set note = md5(note) where id % 7 = ${index}`);
      const { id } = await server.backup(['--type', type, '--from', 'local']);
      backups.push({ id, checksum: await cluster.value(CHECKSUM) });
    }
  }, 240_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  async function killAtRandom(words: readonly string[]): Promise<void> {
    const running = await server.start(words);
    await sleep(KILL_MS_MIN + randomBelow(random, KILL_MS_RANGE));
    if (running.isRunning) process.kill(-running.pid, 'SIGKILL');
    await running.exited;
  }

  /** Every listed backup, or so many of them by draw, restores to its own content. */
  async function requireRestorable(stage: string, count = backups.length): Promise<void> {
    const { backups: listed } = await server.list();
    for (const { id } of drawFrom(listed, count, random)) {
      const name = `${stage}-${id.toLowerCase()}`;
      const words = ['--backup', id, '--to-immediate', '--action', 'promote'];
      await server.restore(name, { words });
      await using restored = await server.adopt(name);
      await restored.server.start();
      await waitForRecovery(restored, 'promote');
      const expected = backups.find((backup) => backup.id === id)?.checksum;
      expect([id, await restored.value(CHECKSUM)]).toEqual([id, expected]);
    }
  }

  async function listedIds(): Promise<string[]> {
    return (await server.list()).backups.map(({ id }) => id);
  }

  test('shows what would go, and keeps what a person marked', async () => {
    const marked = backups[1]?.id ?? '';
    const mark = keepDocument.parse(await server.json(['keep', 'shop', marked]));
    expect(mark).toEqual({ server: 'shop', backup: marked, kept: true, until: null });
    const plan = expireDocument.parse(await server.json(['expire', 'shop', '--dry-run']));
    const going = plan.backups.filter(({ action }) => action === 'delete').map(({ id }) => id);
    expect(going).toEqual([backups[0]?.id, backups[2]?.id]);
    expect(await listedIds()).toEqual(backups.map(({ id }) => id));
  });

  test('leaves every kept backup restorable when expire is killed, and the next run finishes', async () => {
    for (let kill = 0; kill < KILLS; kill += 1) {
      await killAtRandom(['expire', 'shop']);
      for (const { id } of backups.filter((_, index) => index === 1 || index > 2)) {
        expect(await listedIds()).toContain(id);
      }
    }
    await server.json(['expire', 'shop']);
    expect(await listedIds()).toEqual([1, 3, 4, 5].map((index) => backups[index]?.id));
    const again = expireDocument.parse(await server.json(['expire', 'shop']));
    expect(again.freedBytes).toBe(0);
    expect((await server.run(['verify', 'shop'])).stdout).toContain('Nothing is damaged');
    // All of them are restored when the same repository was compacted.
    await requireRestorable('expired', isFullMatrix() ? backups.length : 1);
  }, 300_000);

  test('leaves every backup restorable when compact is killed, and the next run finishes', async () => {
    const words = ['compact', 'shop', '--threshold', '95'];
    const plan = compactDocument.parse(await server.json([...words, '--dry-run']));
    expect(plan.packs.length).toBeGreaterThan(0);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await killAtRandom(words);
      expect(await listedIds()).toEqual([1, 3, 4, 5].map((index) => backups[index]?.id));
    }
    await server.json(words);
    expect(compactDocument.parse(await server.json([...words, '--dry-run'])).packs).toEqual([]);
    expect((await server.run(['verify', 'shop'])).stdout).toContain('Nothing is damaged');
    await requireRestorable('compacted');
  }, 300_000);

  test('does not delete what is kept or the last one without being told so', async () => {
    const [kept = '', ...others] = await listedIds();
    const refused = await server.run(['delete', 'shop', kept]);
    expect([refused.exitCode, refused.stderr]).toEqual([2, expect.stringContaining('--even-kept')]);
    const all = await server.run(['delete', 'shop', kept, ...others, '--even-kept']);
    expect([all.exitCode, all.stderr]).toEqual([2, expect.stringContaining('--even-last')]);
    const words = ['delete', 'shop', kept, ...others.slice(0, -1), '--even-kept'];
    const document = deleteDocument.parse(await server.json(words));
    expect(document.backups.map(({ id }) => id)).toEqual([kept, ...others.slice(0, -1)]);
    expect(await listedIds()).toEqual(others.slice(-1));
    await requireRestorable('deleted');
  }, 120_000);
});
