import { WalnutError } from '../../lib/walnut-error.ts';
import type { RequiredSettings } from './control-file.ts';
import { formatSettings, type Setting } from './setting-lines.ts';

export type MinimalConfigurationOptions = {
  /** Of the server that was backed up, as `pg_settings.setting` shows them, by name. */
  readonly settings: ReadonlyMap<string, string>;
  /** From the restored pg_control: the copy will not run hot standby with less. */
  readonly required: RequiredSettings;
  /** The account that runs the restored server; over the Unix socket it may also be {@link superuser}. */
  readonly owner: string;
  /** The cluster's first role, mostly `postgres`. */
  readonly superuser: string;
};

export type MinimalConfiguration = {
  readonly postgresqlConf: string;
  readonly pgHbaConf: string;
  readonly pgIdentConf: string;
};

/**
 * Settings that change what the cluster holds, can do or shows. `pg_settings` gives them in their base units, in which a
 * file without units is read as well. Not lc_messages: a locale that the host lacks would keep the server from starting.
 */
const CARRIED_SETTINGS = [
  'wal_level',
  'wal_log_hints',
  'track_commit_timestamp',
  'shared_preload_libraries',
  'max_wal_size',
  'min_wal_size',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'log_timezone',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'default_text_search_config',
] as const;

const REQUIRED_NAMES: Readonly<Record<keyof RequiredSettings, string>> = {
  maxConnections: 'max_connections',
  maxWorkerProcesses: 'max_worker_processes',
  maxWalSenders: 'max_wal_senders',
  maxPreparedTransactions: 'max_prepared_transactions',
  maxLocksPerTransaction: 'max_locks_per_transaction',
};

const HEADER =
  '# Written by Walnut: the configuration of this cluster was outside its data directory.\n';

/**
 * The three files without which a cluster does not start, for one whose own stand elsewhere (Debian: /etc/postgresql)
 * and so are not in its data directory. The restored server listens on the loopback interface only.
 */
export function minimalConfiguration(options: MinimalConfigurationOptions): MinimalConfiguration {
  return {
    postgresqlConf: `${HEADER}${formatSettings(minimalSettings(options))}`,
    pgHbaConf: `${HEADER}${HBA_LINES.join('\n')}\n`,
    pgIdentConf: `${HEADER}${identLines(options).join('\n')}\n`,
  };
}

function minimalSettings({ settings, required }: MinimalConfigurationOptions): Setting[] {
  const lines: Setting[] = [{ name: 'listen_addresses', value: 'localhost' }];
  for (const [field, name] of Object.entries(REQUIRED_NAMES)) {
    const least = required[field as keyof RequiredSettings];
    const saved = Number(settings.get(name) ?? 0);
    lines.push({
      name,
      value: String(Number.isSafeInteger(saved) ? Math.max(saved, least) : least),
    });
  }
  for (const name of CARRIED_SETTINGS) {
    const value = settings.get(name);
    if (value !== undefined) lines.push({ name, value });
  }
  return lines;
}

const HBA_LINES = [
  'local  all          all                peer map=walnut',
  'local  replication  all                peer map=walnut',
  'host   all          all  127.0.0.1/32  scram-sha-256',
  'host   all          all  ::1/128       scram-sha-256',
];

/** Everybody may be the role of the same name; the owner of the files and root, who can do anything, also the superuser. */
function identLines({ owner, superuser }: MinimalConfigurationOptions): string[] {
  return [
    'walnut  /^(.*)$  \\1',
    `walnut  ${identField(owner)}  ${identField(superuser)}`,
    `walnut  "root"  ${identField(superuser)}`,
  ];
}

function identField(name: string): string {
  if (/["\n\r\0]/.test(name)) {
    throw new WalnutError(
      'usage',
      `write pg_ident.conf: name ${JSON.stringify(name)} cannot be quoted`,
    );
  }
  return `"${name}"`;
}
