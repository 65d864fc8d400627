/** The replication slot that keeps WAL on the server until it is received. */
import { sqlStateOf } from '../postgres/connection/error-mapping.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { Session } from '../postgres/connection/session.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { createSlot, READ_SLOT_MAJOR, readSlot } from '../postgres/replication/commands.ts';

const DUPLICATE_OBJECT = '42710';

/** Makes the slot unless there is one. */
export async function ensureSlot(session: Session, name: string): Promise<'created' | 'existed'> {
  try {
    await createSlot(session, name, { reserveWal: true });
    return 'created';
  } catch (error) {
    if (sqlStateOf(error) !== DUPLICATE_OBJECT) throw error;
    return 'existed';
  }
}

/**
 * Where the slot begins to keep WAL; null when it keeps none or that cannot be found out, as for a role that may only
 * replicate from a server before 15.
 */
export async function slotPosition(
  session: Session,
  name: string,
  settings: ConnectionSettings,
): Promise<Lsn | null> {
  if (session.majorVersion >= READ_SLOT_MAJOR) {
    return (await readSlot(session, name))?.restartLsn ?? null;
  }
  try {
    const ordinary = await openSession(settings, { applicationName: 'walnut' });
    try {
      const rows = await ordinary.query<{ restart_lsn: string | null }>(
        'SELECT restart_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = $1',
        { parameters: [name], act: `read replication slot "${name}"` },
      );
      const text = rows[0]?.restart_lsn ?? null;
      return text === null ? null : parseLsn(text);
    } finally {
      await ordinary.close();
    }
  } catch {
    // Only a better guess is lost: without it reception begins at the server's present end of WAL.
    return null;
  }
}
