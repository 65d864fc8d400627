import { must } from '../../lib/assert.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import { RECORDED_SETTINGS } from './recorded-settings.ts';
import type { Session } from './session.ts';

type Tablespace = { readonly oid: number; readonly name: string; readonly location: string };
type Database = { readonly oid: number; readonly name: string };

/** What a backup must know of a server. Null where the role may not see it, or the kind of connection does not tell. */
export type ServerFacts = {
  readonly serverVersionNum: number;
  readonly systemIdentifier: bigint;
  readonly timeline: TimelineId;
  readonly isInRecovery: boolean | null;
  /** The end of WAL on a primary, the replayed position on a standby; null on a standby that replayed nothing yet. */
  readonly currentLsn: Lsn | null;
  readonly dataDirectory: string | null;
  /** Permission bits: 0o700 or 0o750. */
  readonly dataDirectoryMode: number;
  readonly dataChecksums: boolean;
  readonly blockBytes: number;
  readonly walSegmentBytes: number;
  readonly walLevel: string;
  readonly archiveMode: string;
  readonly fullPageWrites: boolean;
  /** False where the version has no WAL summarizer. */
  readonly summarizesWal: boolean;
  readonly maxWalSenders: number;
  readonly clusterName: string;
  readonly unixSocketFolders: readonly string[];
  /** Raw values of pg_settings (memory and times in their base units); those that the role may not see are missing. */
  readonly settings: Readonly<Record<string, string>>;
  /** Without pg_default and pg_global. Locations of in-place tablespaces are relative. */
  readonly tablespaces: readonly Tablespace[] | null;
  readonly databases: readonly Database[] | null;
  readonly role: RoleFacts;
};

type RoleFacts = {
  readonly name: string;
  readonly isSuperuser: boolean;
  readonly mayReplicate: boolean;
  /** Sees every setting: pg_read_all_settings, as part of pg_monitor. */
  readonly readsAllSettings: boolean;
};

/** Asks a server for its facts, in four short statements. Not on a physical replication connection. */
export async function readServerFacts(session: Session): Promise<ServerFacts> {
  const state = await readState(session);
  const settings = await readSettings(session);
  return {
    serverVersionNum: session.serverVersionNum,
    systemIdentifier: BigInt(state.system_identifier),
    timeline: toTimelineId(state.timeline),
    isInRecovery: state.in_recovery,
    currentLsn: state.lsn === null ? null : parseLsn(state.lsn),
    dataChecksums: state.checksum_version !== 0,
    ...factsOfSettings(settings),
    tablespaces: await session.query<Tablespace>(
      `SELECT oid::int8::float8 AS oid, spcname AS name, pg_tablespace_location(oid) AS location
       FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid`,
      { act: 'list tablespaces' },
    ),
    databases: await session.query<Database>(
      'SELECT oid::int8::float8 AS oid, datname AS name FROM pg_database ORDER BY oid',
      { act: 'list databases' },
    ),
    role: {
      name: state.role,
      isSuperuser: state.is_superuser,
      mayReplicate: state.may_replicate || state.is_superuser,
      readsAllSettings: state.reads_all_settings,
    },
  };
}

type SettingFacts = Pick<
  ServerFacts,
  | 'dataDirectory'
  | 'dataDirectoryMode'
  | 'blockBytes'
  | 'walSegmentBytes'
  | 'walLevel'
  | 'archiveMode'
  | 'fullPageWrites'
  | 'summarizesWal'
  | 'maxWalSenders'
  | 'clusterName'
  | 'unixSocketFolders'
  | 'settings'
>;

/** The facts that are settings, from their raw values. */
export function factsOfSettings(settings: Readonly<Record<string, string>>): SettingFacts {
  const setting = (name: string): string => must(settings[name], `the server has no ${name}`);
  return {
    dataDirectory: settings['data_directory'] ?? null,
    dataDirectoryMode: Number.parseInt(setting('data_directory_mode'), 8),
    blockBytes: Number(setting('block_size')),
    walSegmentBytes: Number(setting('wal_segment_size')),
    walLevel: setting('wal_level'),
    archiveMode: setting('archive_mode'),
    fullPageWrites: setting('full_page_writes') === 'on',
    summarizesWal: settings['summarize_wal'] === 'on',
    maxWalSenders: Number(setting('max_wal_senders')),
    clusterName: settings['cluster_name'] ?? '',
    unixSocketFolders: splitList(settings['unix_socket_directories'] ?? ''),
    settings,
  };
}

type StateRow = {
  system_identifier: string;
  checksum_version: number;
  in_recovery: boolean;
  timeline: number;
  lsn: string | null;
  role: string;
  is_superuser: boolean;
  may_replicate: boolean;
  reads_all_settings: boolean;
};

/**
 * The timeline of a primary comes from its current WAL file: after a promotion pg_control shows the old one until the
 * next checkpoint is done. A standby's is the newest that its control file mentions.
 */
const STATE = `
  SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
    (SELECT data_page_checksum_version FROM pg_control_init()) AS checksum_version,
    recovery.active AS in_recovery,
    CASE WHEN recovery.active
      THEN (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline)
            FROM pg_control_checkpoint() c, pg_control_recovery() r)
      ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4
    END AS timeline,
    CASE WHEN recovery.active THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
    rolname AS role, rolsuper AS is_superuser, rolreplication AS may_replicate,
    pg_has_role('pg_read_all_settings', 'USAGE') AS reads_all_settings
  FROM pg_roles, (SELECT pg_is_in_recovery() AS active) AS recovery
  WHERE rolname = current_user`;

async function readState(session: Session): Promise<StateRow> {
  const [row] = await session.query<StateRow>(STATE, { act: 'ask the server about itself' });
  return must(row, 'the current role is in pg_roles');
}

async function readSettings(session: Session): Promise<Record<string, string>> {
  const rows = await session.query<{ name: string; setting: string | null }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)',
    { parameters: [RECORDED_SETTINGS.map(({ name }) => name)], act: 'read the server settings' },
  );
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting ?? '']));
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim().replaceAll(/^"|"$/g, ''))
    .filter((part) => part !== '');
}
