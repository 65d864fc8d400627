import type { MajorVersion } from '../version.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import type { ReplicationMode, SessionOptions } from './session.ts';

export type StartupInput = {
  readonly settings: ConnectionSettings;
  readonly options: SessionOptions;
  readonly replication: ReplicationMode;
  /** Version 14 and newer know it; earlier ones refuse the connection. */
  readonly withIdleTimeout: boolean;
};

/**
 * The startup packet. What must hold for the whole session stands here, where it wins over ALTER ROLE and
 * postgresql.conf: a time-out would end a backup in its middle.
 */
export function startupParameters({
  settings,
  options,
  replication,
  withIdleTimeout,
}: StartupInput): Record<string, string> {
  const { applicationName, forceApplicationName = false } = options;
  const parameters: Record<string, string> = {
    user: settings.user,
    database: options.database ?? settings.database,
    application_name: forceApplicationName
      ? applicationName
      : (settings.applicationName ?? applicationName),
    client_encoding: 'UTF8',
    DateStyle: 'ISO',
    statement_timeout: '0',
    lock_timeout: '0',
    idle_in_transaction_session_timeout: '0',
  };
  if (settings.options !== null) parameters['options'] = settings.options;
  if (replication === 'physical') parameters['replication'] = 'true';
  if (replication === 'database') parameters['replication'] = 'database';
  if (replication === 'physical' && withIdleTimeout) parameters['idle_session_timeout'] = '0';
  return parameters;
}

/** The rest, for connections that take SQL and so can ask the version first; empty when there is nothing to set. */
export function sessionRules(majorVersion: MajorVersion, keepSearchPath: boolean): string {
  const rules = keepSearchPath ? [] : ["SET search_path = ''"];
  if (majorVersion >= 14) rules.push('SET idle_session_timeout = 0');
  if (majorVersion >= 17) rules.push('SET transaction_timeout = 0');
  return rules.join('; ');
}
