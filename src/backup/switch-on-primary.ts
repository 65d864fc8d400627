import { messageOf } from '../lib/walnut-error.ts';
import { switchWal } from '../postgres/connection/backup-functions.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { BackupContext } from './backup-context.ts';
import type { CopiedCluster } from './copied-cluster.ts';

/**
 * A backup from a standby ends in the middle of a WAL segment, and a standby cannot switch to the next: where WAL comes by
 * `archive_command` the segment would arrive only when the primary has filled it. So it is switched there, when the
 * connection lists the primary as well and the role may.
 */
export async function switchOnPrimary(
  { options, progress }: BackupContext,
  { fromStandby }: Pick<CopiedCluster, 'fromStandby'>,
): Promise<void> {
  if (!fromStandby) return;
  if (options.connection.hosts.length < 2) {
    progress.note(
      'the last WAL segment of the backup comes when the primary has filled it, or on pg_switch_wal() there',
    );
    return;
  }
  try {
    const primary = { ...options.connection, targetSessionAttrs: 'primary' as const };
    const session = await openSession(primary, { applicationName: 'walnut backup' });
    try {
      await switchWal(session);
    } finally {
      await session.close();
    }
  } catch (error) {
    progress.warning(
      `could not switch the WAL segment on the primary, so the backup waits until it is full: ${messageOf(error)}`,
    );
  }
}
