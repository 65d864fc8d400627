import type { ReceiverOptions } from '../archive/receiver.ts';
import type { ServerConfiguration } from '../config/configuration.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { Incarnation } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { thisProcess } from '../lib/this-process.ts';

export type ReceiverSurroundings = {
  readonly server: ServerConfiguration;
  readonly store: ObjectStore;
  readonly connection: ConnectionSettings;
  readonly incarnation: Incarnation;
};

/** A server's receiver as the configuration wants it; `command` names this process to a second comer. */
export function receiverOptionsOf(
  { server, store, connection, incarnation }: ReceiverSurroundings,
  command: string,
): Omit<ReceiverOptions, 'onEvent'> {
  return {
    store,
    server: server.name,
    incarnation,
    level: server.level,
    connection,
    slot: server.slot,
    applicationName: server.applicationName,
    spoolFolder: server.spoolDirectory,
    pieceIntervalMs: server.pieceIntervalMs,
    owner: thisProcess(command),
  };
}
