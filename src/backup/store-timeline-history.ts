import { storeHistories, type HistoryReader } from '../archive/timeline-files.ts';
import { messageOf } from '../lib/walnut-error.ts';
import { readTimelineHistory } from '../postgres/replication/commands.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import { historyFileName } from '../postgres/timeline-history.ts';
import type { BackupContext } from './backup-context.ts';

/**
 * Where WAL comes by `archive_command` alone, the history of a timeline that began while archiving was off (after a
 * restore, say) was never archived, and without it nobody knows how the WAL continues: the backup brings it.
 */
export async function storeTimelineHistory(context: BackupContext): Promise<void> {
  const { options, connected, signal, progress } = context;
  if (connected.timeline === 1) return;
  const { store, server, level, connection } = options;
  try {
    const { session } = await openReplicationConnection(connection, {
      applicationName: 'walnut backup',
      signal,
    });
    try {
      const destination = { store, server, level, incarnation: connected.incarnation };
      const read: HistoryReader = async (timeline) => readTimelineHistory(session, timeline);
      await storeHistories(read, destination, {
        timeline: connected.timeline,
        onEvent: () => progress.note(`stored the history of timeline ${connected.timeline}`),
      });
    } finally {
      await session.close();
    }
  } catch (error) {
    const file = historyFileName(connected.timeline);
    progress.warning(
      `could not read ${file} from the server; unless archive_command has stored it, store it with ` +
        `walnut wal push ${server} PATH (${messageOf(error)})`,
    );
  }
}
