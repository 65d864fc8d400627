import { sqlStateOf } from '../postgres/connection/error-mapping.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { Session } from '../postgres/connection/session.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { dropSlot } from '../postgres/replication/commands.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { ensureSlot, slotPosition } from './slot.ts';

const UNDEFINED_OBJECT = '42704';
const OBJECT_IN_USE = '55006';

export type SlotRequest = {
  readonly connection: ConnectionSettings;
  readonly slot: string;
  readonly signal: AbortSignal;
};

export type SlotOutcome = {
  readonly outcome: 'created' | 'existed' | 'dropped' | 'missing';
  readonly restartLsn: Lsn | null;
};

/** Makes the slot, which keeps WAL on the server from the last checkpoint on. */
export async function createWalSlot(request: SlotRequest): Promise<SlotOutcome> {
  const { slot, connection } = request;
  return withReplication(request, async (session) => {
    const outcome = await ensureSlot(session, slot);
    return { outcome, restartLsn: await slotPosition(session, slot, connection) };
  });
}

/** Drops the slot. One that a receiver uses is left, and that is an error. */
export async function dropWalSlot(request: SlotRequest): Promise<SlotOutcome> {
  const { slot, connection } = request;
  return withReplication(request, async (session) => {
    const restartLsn = await slotPosition(session, slot, connection);
    try {
      await dropSlot(session, slot);
      return { outcome: 'dropped', restartLsn };
    } catch (error) {
      if (sqlStateOf(error) === UNDEFINED_OBJECT) return { outcome: 'missing', restartLsn: null };
      if (!(error instanceof WalnutError) || sqlStateOf(error) !== OBJECT_IN_USE) throw error;
      const hint = 'Stop the receiver (walnut wal receive, or the backup that runs it) first.';
      throw new WalnutError(error.code, error.message, {
        hint,
        cause: error,
        details: error.details,
      });
    }
  });
}

async function withReplication<T>(
  { connection, signal }: SlotRequest,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { session } = await openReplicationConnection(connection, {
    applicationName: 'walnut',
    signal,
  });
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
