import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sleep } from '../../src/lib/sleep.ts';
import { testCluster, type TestCluster } from './cluster.ts';
import { contentDifferences, contentOf } from './content.ts';
import { lostCommits, startLoad } from './load.ts';
import { testMatrix } from './matrix.ts';
import { populate } from './schema.ts';

describe.each(testMatrix().filter(({ extent }) => extent === 'full'))(
  'the load of tests on PostgreSQL $major',
  ({ major }) => {
    let cluster: TestCluster;

    beforeAll(async () => {
      cluster = await testCluster({ major });
      await populate(cluster, { scale: 0.3 });
    });

    afterAll(async () => {
      await cluster.dispose();
    });

    test('no acknowledged commit is lost when the server is killed under it', async () => {
      const load = startLoad(cluster, { reconnect: true });
      await load.waitForCommits(150);
      await cluster.server.kill();
      const acknowledged = load.acknowledged;
      await cluster.server.start();
      await load.waitForCommits(100);
      const { commits } = await load.stop();
      expect(commits).toBeGreaterThanOrEqual(250);
      expect(await lostCommits(cluster, load.acknowledged)).toEqual([]);
      expect(await lostCommits(cluster, acknowledged)).not.toEqual([]);
    });

    test('a marker holds the content of its moment while the load goes on', async () => {
      const load = startLoad(cluster, { restMs: 0 });
      await load.waitForCommits(50);
      await load.pause();
      const held = load.commits;
      await sleep(100);
      expect(load.commits).toBe(held);
      const first = await load.mark('first');
      await load.waitForCommits(100);
      await load.stop();
      const content = await contentOf(cluster);
      expect(Object.keys(content)).toEqual(['postgres', 'shop', 'ware house']);
      expect(contentDifferences(first.content, content)).not.toEqual([]);
      expect(first.time).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+00$/);
      expect(first.timeline).toBe(1);
      expect(
        await cluster.value('select pg_current_wal_insert_lsn() > $1::pg_lsn', {
          parameters: [first.lsn],
        }),
      ).toBe('true');
    });

    test('the content is the same after a crash, and one changed value shows', async () => {
      const before = await contentOf(cluster);
      await cluster.server.kill();
      await cluster.server.start();
      expect(contentDifferences(before, await contentOf(cluster))).toEqual([]);
      await cluster.sql('update documents set title = title || $1 where id = 3', {
        database: 'shop',
        parameters: ['.'],
      });
      expect(contentDifferences(before, await contentOf(cluster))).toEqual([
        expect.stringContaining('shop: table public.documents is'),
      ]);
      await cluster.sql('drop index customers_tags', { database: 'ware house' });
      expect(contentDifferences(before, await contentOf(cluster))).toContain(
        'ware house: index public.customers_tags is missing',
      );
    });
  },
);
