import type { TestCluster } from './cluster.ts';
import { contentDifferences, contentOf } from './content.ts';
import { isFullMatrix } from './matrix.ts';
import { waitForRecovery, type ProtectedServer } from './protected-server.ts';
import { unsoundParts } from './sound-cluster.ts';

export type RestoredFrom = {
  readonly server: ProtectedServer;
  /** What the server has now and had when the backup ended: nothing may have been changed since. */
  readonly cluster: TestCluster;
  readonly backup: string;
  readonly tablespaces?: readonly string[];
};

/**
 * Restores the backup to its own end, without a change from later WAL, and says how it differs from the live server
 * and what PostgreSQL's checkers find wrong. Empty when all is well.
 */
export async function wrongAfterRestore(options: RestoredFrom): Promise<string[]> {
  const { server, cluster, backup, tablespaces = [] } = options;
  const expected = await contentOf(cluster);
  // Copied WAL saves a start of Walnut for each segment; the matrix has time for it.
  const wal = isFullMatrix() ? 'fetch' : 'copy';
  const words = ['--backup', backup, '--to-immediate', '--action', 'promote', '--wal', wal];
  await server.restore(`restored-${backup}`, { words, tablespaces });
  await using restored = await server.adopt(`restored-${backup}`);
  await restored.server.start();
  await waitForRecovery(restored, 'promote');
  const differences = contentDifferences(expected, await contentOf(restored));
  return [...differences, ...(await unsoundParts(restored))];
}
