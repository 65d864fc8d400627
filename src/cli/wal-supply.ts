import { ownReceiver } from '../backup/own-receiver.ts';
import type { WalSupply } from '../backup/wal-supply.ts';
import type { ServerConfiguration } from '../config/configuration.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { receiverOptionsOf } from './receiver-options.ts';

export type WalSupplyOptions = {
  readonly server: ServerConfiguration;
  readonly store: ObjectStore;
  readonly connection: ConnectionSettings;
  readonly note: (text: string) => void;
};

/** Where a backup's WAL comes from: `archive_command`, the receiver that runs already, or one of the backup's own. */
export function walSupplyOf(options: WalSupplyOptions): WalSupply {
  const { name, wal } = options.server;
  if (wal === 'archive') {
    return {
      begin: async () => null,
      isArchiver: true,
      hint: `Look at archive_command of server ${name} and at its log: walnut wal push must succeed.`,
    };
  }
  return ownReceiver({
    server: name,
    receiverOf: (incarnation) =>
      receiverOptionsOf({ ...options, incarnation }, `walnut backup ${name}`),
    note: options.note,
  });
}
