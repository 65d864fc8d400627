import type { ServerConfiguration } from '../config/configuration.ts';
import { readPassword } from '../config/password.ts';
import {
  readConnectionSettings,
  type ConnectionSettings,
} from '../postgres/connection/connection-settings.ts';
import { systemSources } from '../postgres/connection/connection-sources.ts';

/** The server's connection with its password, whichever way it is configured; a connection string's own password wins. */
export async function connectionSettingsOf(
  server: ServerConfiguration,
): Promise<ConnectionSettings> {
  const settings = readConnectionSettings(server.connection.reveal(), systemSources());
  const withTimeout = { ...settings, connectTimeoutMs: server.connectTimeoutMs };
  if (settings.password !== null || server.password === null) return withTimeout;
  return { ...withTimeout, password: (await readPassword(server.password)).reveal() };
}
