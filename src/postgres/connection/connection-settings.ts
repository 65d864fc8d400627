import { join } from 'node:path';
import { WalnutError } from '../../lib/walnut-error.ts';
import {
  keywordsFromEnvironment,
  refuseUnsupported,
  type KeywordValues,
} from './connection-keywords.ts';
import type { ConnectionSources } from './connection-sources.ts';
import { parseConnectionString } from './connection-string.ts';
import { parseHosts, type HostAddress } from './host-list.ts';
import { findPassword } from './password-file.ts';
import { parseServiceFile } from './service-file.ts';
import { parseTlsSettings, type TlsSettings } from './tls-settings.ts';
import { oneOf, wholeNumber } from './keyword-values.ts';

const TARGET_SESSION_ATTRS = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const;
export type TargetSessionAttrs = (typeof TARGET_SESSION_ATTRS)[number];

/**
 * How to reach a PostgreSQL server: plain data, so that it can be handed to a worker. Words and meanings are libpq's.
 * Holds passwords: show it only through {@link describeConnection}.
 */
export type ConnectionSettings = {
  /** Tried in this order; at least one. */
  readonly hosts: readonly HostAddress[];
  readonly user: string;
  readonly database: string;
  /** Null where none is set; a host's own password (from a password file) is in {@link HostAddress}. */
  readonly password: string | null;
  readonly tls: TlsSettings;
  readonly targetSessionAttrs: TargetSessionAttrs;
  readonly loadBalanceHosts: boolean;
  readonly applicationName: string | null;
  /** Per host; 0 waits for ever. */
  readonly connectTimeoutMs: number;
  /** Command-line options for the server, such as `-c work_mem=64MB`. */
  readonly options: string | null;
  readonly keepalives: boolean;
  readonly keepalivesIdleMs: number;
};

/** Long enough for a slow TLS handshake abroad, short enough to try the next host while a person waits. */
const CONNECT_TIMEOUT_DEFAULT_MS = 15_000;
/** Below the idle limits of common firewalls (5 minutes and more). */
const KEEPALIVES_IDLE_DEFAULT_MS = 60_000;

/**
 * Makes settings from a connection string (URL or keyword list, may be empty), then its service, then the
 * environment, then defaults, as libpq does.
 * @throws WalnutError `config`, naming keyword and place, never a password.
 */
export function readConnectionSettings(
  connectionString: string,
  sources: ConnectionSources,
): ConnectionSettings {
  const values = mergeSources(parseConnectionString(connectionString), sources);
  refuseUnsupported(values);
  if (values.get('gssencmode') === 'require') {
    throw new WalnutError('config', 'read connection settings: Walnut has no GSSAPI encryption', {
      hint: 'Remove gssencmode=require and use TLS (sslmode=verify-full).',
    });
  }
  const user = values.get('user') || sources.userName;
  const database = values.get('dbname') || user;
  const password = values.get('password') || null;
  const hosts = parseHosts(values, sources);
  return {
    hosts:
      password === null ? withFilePasswords({ hosts, user, database, values, sources }) : hosts,
    user,
    database,
    password,
    tls: parseTlsSettings(values, sources),
    targetSessionAttrs: oneOf(values, 'target_session_attrs', TARGET_SESSION_ATTRS) ?? 'any',
    loadBalanceHosts:
      oneOf(values, 'load_balance_hosts', ['disable', 'random'] as const) === 'random',
    applicationName:
      values.get('application_name') || values.get('fallback_application_name') || null,
    connectTimeoutMs: connectTimeout(values),
    options: values.get('options') || null,
    keepalives: wholeNumber(values, 'keepalives') !== 0,
    keepalivesIdleMs:
      (wholeNumber(values, 'keepalives_idle') || 0) * 1000 || KEEPALIVES_IDLE_DEFAULT_MS,
  };
}

/** The settings as a URL for messages and logs: no password, no key material. */
export function describeConnection(settings: ConnectionSettings): string {
  const hosts = settings.hosts.map(describeHost).join(',');
  const name = encodeURIComponent(settings.database);
  return `postgresql://${encodeURIComponent(settings.user)}@${hosts}/${name}`;
}

export function describeHost({ host, port }: HostAddress): string {
  if (host.startsWith('/')) return `${encodeURIComponent(host)}:${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function mergeSources(explicit: KeywordValues, sources: ConnectionSources): KeywordValues {
  const environment = keywordsFromEnvironment(sources.environment);
  const service = explicit.get('service') ?? environment.get('service');
  const fromService =
    service === undefined || service === ''
      ? new Map<string, string>()
      : readService(
          service,
          explicit.get('servicefile') ?? environment.get('servicefile'),
          sources,
        );
  const merged: KeywordValues = new Map([...environment, ...fromService]);
  for (const [name, value] of explicit) merged.set(name, value);
  return merged;
}

function readService(
  service: string,
  file: string | undefined,
  { homeFolder, environment, readFile }: ConnectionSources,
): KeywordValues {
  const system = environment['PGSYSCONFDIR'] ?? '/etc/postgresql-common';
  const paths = [file || join(homeFolder, '.pg_service.conf'), join(system, 'pg_service.conf')];
  for (const path of paths) {
    const content = readFile(path);
    const values = content === null ? null : parseServiceFile(content.text, service, path);
    if (values !== null) return values;
  }
  throw new WalnutError('config', `find connection service "${service}": no such group`, {
    hint: `Add [${service}] to ${paths.join(' or ')}.`,
  });
}

type PasswordLookup = {
  readonly hosts: readonly HostAddress[];
  readonly user: string;
  readonly database: string;
  readonly values: KeywordValues;
  readonly sources: ConnectionSources;
};

function withFilePasswords({
  hosts,
  user,
  database,
  values,
  sources,
}: PasswordLookup): HostAddress[] {
  const path = values.get('passfile') || join(sources.homeFolder, '.pgpass');
  const file = sources.readFile(path);
  if (file === null) return [...hosts];
  return hosts.map((address) => {
    const find = (wanted: string): string | null =>
      findPassword(file.text, {
        host: address.isDefaultSocket ? 'localhost' : address.host,
        port: address.port,
        database: wanted,
        user,
      });
    const password = find(database);
    const replicationPassword = find('replication');
    if (password === null && replicationPassword === null) return address;
    // libpq ignores such a file with a warning; the login would then fail for a reason nobody sees.
    if ((file.mode & 0o077) !== 0) {
      throw new WalnutError('config', `read password file ${path}: others may read it`, {
        hint: `chmod 600 ${path}`,
      });
    }
    return { ...address, password, replicationPassword };
  });
}

function connectTimeout(values: KeywordValues): number {
  const seconds = wholeNumber(values, 'connect_timeout');
  if (seconds === null) return CONNECT_TIMEOUT_DEFAULT_MS;
  return Math.max(seconds, 0) * 1000;
}
