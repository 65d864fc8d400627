/** The WAL supply of a backup that nobody else receives WAL for: a receiver for as long as the backup runs. */
import { WalReceiver, type ReceiverOptions } from '../archive/receiver.ts';
import { ensureSlot } from '../archive/slot.ts';
import { hasCode, messageOf } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { dropSlot } from '../postgres/replication/commands.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import type { Session } from '../postgres/connection/session.ts';
import type { Incarnation } from '../repository/repository.ts';
import type { RunningSupply, WalSupply } from './wal-supply.ts';

export type OwnReceiverOptions = {
  readonly server: string;
  readonly receiverOf: (incarnation: Incarnation) => Omit<ReceiverOptions, 'onEvent'>;
  readonly note: (text: string) => void;
};

/**
 * Someone else who receives holds the WAL lease: then there is nothing to do. A slot that is made here is dropped at the
 * end, because one that nobody reads makes the server keep its WAL until the disk is full.
 */
export function ownReceiver(options: OwnReceiverOptions): WalSupply {
  return {
    begin: async (incarnation, signal) => begin(options, incarnation, signal),
    isArchiver: false,
    hint:
      `See that a receiver runs (walnut wal receive ${options.server}) and what it says; ` +
      `walnut wal status ${options.server} shows how far the WAL has come.`,
  };
}

async function begin(
  { receiverOf, note }: OwnReceiverOptions,
  incarnation: Incarnation,
  signal: AbortSignal,
): Promise<RunningSupply | null> {
  const options = receiverOf(incarnation);
  const slot = { connection: options.connection, name: options.slot };
  const isOwnSlot = await onReplication(
    slot,
    async (session) => ensureSlot(session, slot.name),
    signal,
  );
  const receiver = new WalReceiver({
    ...options,
    onEvent: (event) => {
      if (event.kind === 'retrying') note(`receiving WAL: ${event.reason}`);
    },
  });
  const running = receiver.run();
  // Seen through `failed`; without a listener of its own an early end would be reported as unhandled.
  running.catch(() => undefined);
  const stop = async (): Promise<void> => {
    receiver.stop();
    await running.catch(() => undefined);
    if (isOwnSlot === 'created') await removeSlot(slot, note);
  };
  try {
    await Promise.race([receiver.streaming, running]);
  } catch (error) {
    if (hasCode(error, 'locked')) return null;
    await stop();
    throw error;
  }
  note('nobody receives the WAL of this server: receiving it for the time of the backup');
  return { stop, failed: running.then(async () => new Promise<never>(() => undefined)) };
}

type Slot = { readonly connection: ConnectionSettings; readonly name: string };

async function removeSlot(slot: Slot, note: (text: string) => void): Promise<void> {
  try {
    await onReplication(slot, async (session) => dropSlot(session, slot.name));
  } catch (error) {
    note(
      `could not drop replication slot ${slot.name}, which was made for this backup: drop it, or the server keeps its ` +
        `WAL (${messageOf(error)})`,
    );
  }
}

async function onReplication<T>(
  { connection }: Slot,
  work: (session: Session) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const options = { applicationName: 'walnut backup', ...(signal === undefined ? {} : { signal }) };
  const { session } = await openReplicationConnection(connection, options);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
