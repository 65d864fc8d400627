/** Incremental and differential backups by the built command line: what they read, store, share and say. */
import { describe, expect, test } from 'vitest';
import { testCluster } from '../support/cluster.ts';
import { contentDifferences, contentOf } from '../support/content.ts';
import { startLoad } from '../support/load.ts';
import { protect, waitForRecovery } from '../support/protected-server.ts';
import { populate } from '../support/schema.ts';

const MAJOR = 18;

describe('an incremental backup', () => {
  test.each(['local', 'connection'])(
    'from %s reads and stores what changed, and restores like a full one',
    async (source) => {
      await using cluster = await testCluster({ major: MAJOR });
      await populate(cluster, { scale: 0.2, tablespace: false });
      const server = await protect(cluster);
      await using receiver = await server.receive();
      const full = await server.backup(['--from', source]);
      const load = startLoad(cluster);
      await load.waitForCommits(100);
      const incremental = await server.backup(['--from', source]);
      await load.waitForCommits(50);
      const second = await server.backup(['--from', source, '--type', 'incremental']);
      const marker = await load.mark('marker');
      await load.waitForCommits(20);
      await load.stop();
      await server.waitUntilStored(await cluster.value('select pg_current_wal_flush_lsn()'));
      await receiver.stop();
      await server.restore('restored', { words: ['--to-time', marker.time] });
      await using restored = await server.adopt('restored');
      await restored.server.start();
      await waitForRecovery(restored, 'pause');
      expect(contentDifferences(marker.content, await contentOf(restored))).toEqual([]);
      expect(await server.run(['verify', 'shop'])).toMatchObject({ exitCode: 0 });
      expect(full).toMatchObject({ type: 'full', parent: null, changeSource: null });
      expect(incremental).toMatchObject({ type: 'incremental', parent: full.id, warnings: [] });
      expect(second).toMatchObject({ parent: incremental.id, changeSource: 'archive' });
      expect(incremental.readBytes).toBeLessThan(full.readBytes / 2);
      expect(incremental.storedBytes).toBeLessThan(full.storedBytes / 2);
    },
  );
});
