import type { WalSupply } from '../backup/wal-supply.ts';
import type { ServerConfiguration } from '../config/configuration.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type WalSupplyOptions = {
  readonly server: ServerConfiguration;
  readonly store: ObjectStore;
  readonly connection: ConnectionSettings;
  readonly note: (text: string) => void;
};

export function walSupplyOf({ server }: WalSupplyOptions): WalSupply {
  return {
    begin: async () => null,
    hint: `Look at archive_command of server ${server.name} and its log.`,
  };
}
