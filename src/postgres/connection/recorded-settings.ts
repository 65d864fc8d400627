import type { MajorVersion } from '../version.ts';

/** In what `pg_settings` counts; null where it has no unit. */
export type BaseUnit = 'B' | '8kB' | 'MB' | 'ms' | 's' | null;

export type RecordedSetting = {
  readonly name: string;
  readonly unit: BaseUnit;
  /** Shown to superusers and members of pg_read_all_settings only. */
  readonly isRestricted: boolean;
  /** The versions that have it. */
  readonly since: MajorVersion;
  readonly until: MajorVersion;
};

/** Recorded with each backup: POSTGRES.md's "required settings", what restore must know, and where Debian keeps files. */
export const RECORDED_SETTINGS: readonly RecordedSetting[] = [
  setting('allow_in_place_tablespaces', { since: 15 }),
  setting('archive_command'),
  setting('archive_library', { since: 15 }),
  setting('archive_mode'),
  setting('archive_timeout', { unit: 's' }),
  setting('block_size'),
  setting('cluster_name'),
  setting('config_file', { isRestricted: true }),
  setting('data_checksums'),
  setting('data_directory', { isRestricted: true }),
  setting('data_directory_mode'),
  setting('full_page_writes'),
  setting('hba_file', { isRestricted: true }),
  setting('hot_standby'),
  setting('ident_file', { isRestricted: true }),
  setting('idle_replication_slot_timeout', { unit: 's', since: 18 }),
  setting('lc_collate', { until: 15 }),
  setting('lc_ctype', { until: 15 }),
  setting('lc_messages'),
  setting('listen_addresses'),
  setting('log_timezone'),
  setting('max_connections'),
  setting('max_locks_per_transaction'),
  setting('max_prepared_transactions'),
  setting('max_replication_slots'),
  setting('max_slot_wal_keep_size', { unit: 'MB' }),
  setting('max_wal_senders'),
  setting('max_worker_processes'),
  setting('port'),
  setting('segment_size', { unit: '8kB' }),
  setting('server_encoding'),
  setting('server_version'),
  setting('shared_preload_libraries', { isRestricted: true }),
  setting('summarize_wal', { since: 17 }),
  setting('synchronous_standby_names'),
  setting('TimeZone'),
  setting('track_commit_timestamp'),
  setting('unix_socket_directories', { isRestricted: true }),
  setting('wal_block_size'),
  setting('wal_keep_size', { unit: 'MB' }),
  setting('wal_level'),
  setting('wal_log_hints'),
  setting('wal_segment_size', { unit: 'B' }),
  setting('wal_sender_timeout', { unit: 'ms' }),
];

function setting(
  name: string,
  traits: Partial<Omit<RecordedSetting, 'name'>> = {},
): RecordedSetting {
  return { name, unit: null, isRestricted: false, since: 13, until: 18, ...traits };
}

const MEMORY_BYTES: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['kB', 1024],
  ['MB', 1024 ** 2],
  ['GB', 1024 ** 3],
  ['TB', 1024 ** 4],
]);
const TIME_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);
const BASE_SIZES: Readonly<Record<NonNullable<BaseUnit>, number>> = {
  B: 1,
  '8kB': 8192,
  MB: 1024 ** 2,
  ms: 1,
  s: 1000,
};

/**
 * What `pg_settings` has for a value that SHOW writes for people: `1min` is `60`, `16MB` is `16777216`. SHOW takes the
 * largest unit that loses nothing, so this is exact. Source: ShowGUCOption in src/backend/utils/misc/guc.c.
 */
export function baseValue(shown: string, unit: BaseUnit): string {
  if (unit === null) return shown;
  const [, digits, shownUnit] = /^(\d+)([A-Za-z]+)$/.exec(shown) ?? [];
  const size = MEMORY_BYTES.get(shownUnit ?? '') ?? TIME_MS.get(shownUnit ?? '');
  // 0 and -1, which mean something special, come without a unit.
  if (digits === undefined || size === undefined) return shown;
  return String((Number(digits) * size) / BASE_SIZES[unit]);
}
