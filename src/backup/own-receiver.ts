/** The WAL supply of a backup that nobody else receives WAL for: a receiver for as long as the backup runs. */
import { WalReceiver, type ReceiverOptions } from '../archive/receiver.ts';
import { findIncarnation } from '../archive/incarnation.ts';
import { ensureSlot } from '../archive/slot.ts';
import { hasCode } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { dropSlot } from '../postgres/replication/commands.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import type { RunningSupply, WalSupply } from './wal-supply.ts';

export type OwnReceiverOptions = Omit<ReceiverOptions, 'incarnation' | 'onEvent'> & {
  readonly note: (text: string) => void;
};

/**
 * Someone else who receives holds the WAL lease: then there is nothing to do. A slot that is made here is dropped at the
 * end, because one that nobody reads makes the server keep its WAL until the disk is full.
 */
export function ownReceiver(options: OwnReceiverOptions): WalSupply {
  return {
    begin: async (signal) => begin(options, signal),
    hint:
      `See that a receiver runs (walnut wal receive ${options.server}) and what it says; ` +
      `walnut wal status ${options.server} shows how far the WAL has come.`,
  };
}

async function begin(
  options: OwnReceiverOptions,
  signal: AbortSignal,
): Promise<RunningSupply | null> {
  const incarnation = await findIncarnation(options.store, options.server);
  const isOwnSlot = await makeSlot(options, signal);
  const receiver = new WalReceiver({
    ...options,
    incarnation,
    onEvent: (event) => {
      if (event.kind === 'retrying') options.note(`receiving WAL: ${event.reason}`);
    },
  });
  const running = receiver.run();
  // Seen through `failed`; without a listener of its own an early end would be reported as unhandled.
  running.catch(() => undefined);
  try {
    await Promise.race([receiver.streaming, running]);
  } catch (error) {
    if (!hasCode(error, 'locked')) throw error;
    return null;
  }
  options.note('nobody receives the WAL of this server: receiving it for the time of the backup');
  return {
    failed: running.then(async () => new Promise<never>(() => undefined)),
    stop: async () => {
      receiver.stop();
      await running.catch(() => undefined);
      if (isOwnSlot) await removeSlot(options);
    },
  };
}

async function makeSlot(
  { connection, slot }: OwnReceiverOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { session } = await openReplicationConnection(connection, applicationOf(signal));
  try {
    return (await ensureSlot(session, slot)) === 'created';
  } finally {
    await session.close();
  }
}

async function removeSlot({ connection, slot, note }: OwnReceiverOptions): Promise<void> {
  try {
    await dropOn(connection, slot);
  } catch (error) {
    note(
      `could not drop replication slot ${slot}, which was made for this backup: drop it, or the server keeps its WAL ` +
        `(${error instanceof Error ? error.message : String(error)})`,
    );
  }
}

async function dropOn(connection: ConnectionSettings, slot: string): Promise<void> {
  const { session } = await openReplicationConnection(connection, applicationOf());
  try {
    await dropSlot(session, slot);
  } finally {
    await session.close();
  }
}

function applicationOf(signal?: AbortSignal): Parameters<typeof openReplicationConnection>[1] {
  return { applicationName: 'walnut backup', ...(signal === undefined ? {} : { signal }) };
}
