/** What a backup or a check wants to know of a server, asked once. What the role may not see is null. */
import { parseLsn, type Lsn } from '../lsn.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import type { Session } from './session.ts';

export type TablespaceFacts = {
  readonly oid: number;
  readonly name: string;
  /** Empty for the two inside the data directory; they are not listed. `pg_tblspc/<oid>` for in-place ones. */
  readonly location: string;
};

export type ServerFacts = {
  readonly systemIdentifier: bigint;
  readonly serverVersionNum: number;
  /** Bytes per page. */
  readonly blockBytes: number;
  readonly walSegmentBytes: number;
  readonly dataChecksums: boolean;
  readonly isInRecovery: boolean;
  readonly timeline: TimelineId;
  /** Written so far; on a standby replayed so far. */
  readonly currentLsn: Lsn;
  /** Null without pg_read_all_settings. */
  readonly dataDirectory: string | null;
  /** Permission bits, 0o700 or 0o750. */
  readonly dataDirectoryMode: number;
  /** Settings by name, as `SHOW` prints them; the ones the role may see. */
  readonly settings: Readonly<Record<string, string>>;
  readonly tablespaces: readonly TablespaceFacts[];
  readonly databases: readonly { readonly oid: number; readonly name: string }[];
  readonly role: {
    readonly name: string;
    readonly isSuperuser: boolean;
    readonly hasReplication: boolean;
  };
};

/** Settings that a restore needs or a check judges (postgresql.conf names). */
const SETTINGS = [
  'archive_command',
  'archive_library',
  'archive_mode',
  'archive_timeout',
  'block_size',
  'cluster_name',
  'config_file',
  'data_checksums',
  'data_directory',
  'data_directory_mode',
  'full_page_writes',
  'hba_file',
  'ident_file',
  'lc_collate',
  'lc_ctype',
  'lc_messages',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'listen_addresses',
  'max_connections',
  'max_locks_per_transaction',
  'max_prepared_transactions',
  'max_slot_wal_keep_size',
  'max_wal_senders',
  'max_replication_slots',
  'max_worker_processes',
  'port',
  'server_version',
  'shared_preload_libraries',
  'summarize_wal',
  'synchronous_standby_names',
  'unix_socket_directories',
  'wal_level',
  'wal_segment_size',
] as const;

type FactsRow = {
  system_identifier: bigint;
  timeline: number;
  in_recovery: boolean;
  current_lsn: string | null;
  role_name: string;
  is_superuser: boolean;
  has_replication: boolean;
};

/** Asks the server; needs no rights beyond `CONNECT`, but tells more with pg_monitor. */
export async function readServerFacts(session: Session): Promise<ServerFacts> {
  const row = await readFacts(session);
  const settings = await readSettings(session);
  return {
    systemIdentifier: BigInt.asUintN(64, row.system_identifier),
    serverVersionNum: session.serverVersionNum,
    blockBytes: Number(settings['block_size']),
    walSegmentBytes: memoryBytes(settings['wal_segment_size'] ?? ''),
    dataChecksums: settings['data_checksums'] === 'on',
    isInRecovery: row.in_recovery,
    timeline: toTimelineId(row.timeline),
    currentLsn: parseLsn(row.current_lsn ?? '0/0'),
    dataDirectory: settings['data_directory'] ?? null,
    dataDirectoryMode: Number.parseInt(settings['data_directory_mode'] ?? '0700', 8),
    settings,
    tablespaces: await session.query(
      `SELECT oid, spcname AS name, pg_tablespace_location(oid) AS location
         FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid`,
      { act: 'list tablespaces' },
    ),
    databases: await session.query('SELECT oid, datname AS name FROM pg_database ORDER BY oid', {
      act: 'list databases',
    }),
    role: {
      name: row.role_name,
      isSuperuser: row.is_superuser,
      hasReplication: row.has_replication,
    },
  };
}

/** On a primary the timeline is the one being written, which the last checkpoint may not know yet. */
async function readFacts(session: Session): Promise<FactsRow> {
  const rows = await session.query<FactsRow>(
    `SELECT system_identifier, timeline_id AS checkpoint_timeline,
            CASE WHEN pg_is_in_recovery() THEN timeline_id
                 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
            pg_is_in_recovery() AS in_recovery,
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS current_lsn,
            rolname AS role_name, rolsuper AS is_superuser, rolreplication OR rolsuper AS has_replication
       FROM pg_control_system(), pg_control_checkpoint(), pg_roles WHERE rolname = current_user`,
    { act: 'ask the server for its identity' },
  );
  const [row] = rows;
  if (row === undefined) throw new RangeError('the server answered no row about itself');
  return row;
}

async function readSettings(session: Session): Promise<Record<string, string>> {
  const rows = await session.query<{ name: string; value: string | null }>(
    'SELECT name, current_setting(name, true) AS value FROM pg_settings WHERE name = ANY($1::text[])',
    { parameters: [SETTINGS], act: 'read settings' },
  );
  return Object.fromEntries(
    rows.flatMap(({ name, value }) => (value === null ? [] : [[name, value]])),
  );
}

/** `16MB` as bytes; the server prints whole units. */
export function memoryBytes(text: string): number {
  const [, digits, unit = 'B'] = /^(\d+)\s*(B|kB|MB|GB|TB)?$/.exec(text) ?? [];
  const scale = { B: 1, kB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 }[unit];
  if (digits === undefined || scale === undefined)
    throw new SyntaxError(`parse memory size "${text}"`);
  return Number(digits) * scale;
}
