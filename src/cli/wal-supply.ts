import { findIncarnation } from '../archive/incarnation.ts';
import { WalReceiver } from '../archive/receiver.ts';
import type { RunningSupply, WalSupply } from '../backup/wal-supply.ts';
import type { ServerConfiguration } from '../config/configuration.ts';
import { hasCode } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { receiverOptionsOf } from './receiver-options.ts';

export type WalSupplyOptions = {
  readonly server: ServerConfiguration;
  readonly store: ObjectStore;
  readonly connection: ConnectionSettings;
  readonly note: (text: string) => void;
};

/** Where a backup's WAL comes from: the receiver that runs already, `archive_command`, or a receiver of its own. */
export function walSupplyOf(options: WalSupplyOptions): WalSupply {
  const { name, wal } = options.server;
  if (wal === 'archive') {
    return {
      begin: async () => null,
      hint: `Look at archive_command of server ${name} and its log: walnut wal push must succeed.`,
    };
  }
  return {
    begin: async () => beginReceiver(options),
    hint: `See walnut wal status ${name}; start walnut wal receive ${name}, or stop it so that the backup receives the WAL itself.`,
  };
}

/** Null when another process receives the server's WAL already. */
async function beginReceiver(options: WalSupplyOptions): Promise<RunningSupply | null> {
  const { server, store, note } = options;
  const incarnation = await findIncarnation(store, server.name);
  const receiver = new WalReceiver({
    ...receiverOptionsOf({ ...options, incarnation }, `walnut backup ${server.name}`),
    onEvent: (event) => {
      if (event.kind === 'retrying') note(`receiving WAL: ${event.reason}`);
    },
  });
  const done = receiver.run();
  const failed = done.then(async (): Promise<never> => new Promise(() => {}));
  failed.catch(() => {});
  try {
    await receiver.streaming;
  } catch (error) {
    if (hasCode(error, 'locked')) return null;
    throw error;
  }
  note('nobody receives the WAL of this server, so the backup does');
  return {
    failed,
    stop: async () => {
      receiver.stop();
      await done.catch(() => {});
    },
  };
}
