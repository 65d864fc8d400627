/** From configuration to the things that engines take: connection settings and an opened repository. */
import type { RepositoryConfiguration, ServerConfiguration } from '../config/configuration.ts';
import { readPassword } from '../config/password.ts';
import {
  readConnectionSettings,
  type ConnectionSettings,
} from '../postgres/connection/connection-settings.ts';
import { systemSources } from '../postgres/connection/connection-sources.ts';
import { readDescriptor } from '../repository/repository.ts';
import type { ObjectStore, StoreDescription } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';

/** The server's connection with its password, whichever way it is configured; a connection string's own password wins. */
export async function connectionSettingsOf(
  server: ServerConfiguration,
): Promise<ConnectionSettings> {
  const settings = readConnectionSettings(server.connection.reveal(), systemSources());
  const withTimeout = { ...settings, connectTimeoutMs: server.connectTimeoutMs };
  if (settings.password !== null || server.password === null) return withTimeout;
  return { ...withTimeout, password: (await readPassword(server.password)).reveal() };
}

export function storeDescriptionOf(repository: RepositoryConfiguration): StoreDescription {
  return { kind: 'filesystem', path: repository.path };
}

/** Runs `work` with the repository open; `repository-missing` when there is none. */
export async function withRepository<T>(
  repository: RepositoryConfiguration,
  work: (store: ObjectStore) => Promise<T>,
): Promise<T> {
  const store = await openStore(storeDescriptionOf(repository));
  try {
    await readDescriptor(store);
    return await work(store);
  } finally {
    await store.close();
  }
}
