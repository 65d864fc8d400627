import { assert } from '../../lib/assert.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { TimelineId } from '../timeline-id.ts';
import { formatSettings, type Setting } from './setting-lines.ts';

/** Where PostgreSQL ends recovery. */
export type RecoverySettingsTarget =
  /** At the end of WAL. */
  | { readonly kind: 'latest' }
  /** As soon as the cluster is consistent. */
  | { readonly kind: 'immediate' }
  /** Before the first commit after this moment, microseconds since 1970-01-01 UTC. */
  | { readonly kind: 'time'; readonly micros: bigint; readonly inclusive: boolean }
  /** After, or exclusively before, the first record that begins at or after this position. */
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean }
  /** After, or exclusively before, the end of this transaction. */
  | { readonly kind: 'xid'; readonly xid: bigint | number; readonly inclusive: boolean }
  /** At the first restore point of this name. */
  | { readonly kind: 'name'; readonly name: string };

export type RecoverySettingsOptions = {
  readonly target: RecoverySettingsTarget;
  /** What the server does at the target. `latest` only promotes: PostgreSQL ignores anything else there. */
  readonly action: 'pause' | 'promote' | 'shutdown';
  /** A number, so that no history file that appears later can redirect recovery; `latest` is for standbys. */
  readonly timeline: TimelineId | 'latest';
  /** The whole shell command, with its %f and %p; not empty. */
  readonly restoreCommand: string;
  /** `preserve` leaves archive_mode as the copy brings it. */
  readonly archiveMode: 'off' | 'preserve';
  /** Connection of a standby to its primary; leave out for none. */
  readonly primaryConninfo?: string | undefined;
  readonly primarySlotName?: string | undefined;
  /** Settings that the user asked for; they come last and win. */
  readonly extra?: readonly Setting[] | undefined;
};

/** Names of restore points and so of targets are shorter than this (MAXFNAMELEN). */
const NAME_BYTES_MAX = 63;

const TARGET_SETTINGS = {
  immediate: 'recovery_target',
  time: 'recovery_target_time',
  lsn: 'recovery_target_lsn',
  xid: 'recovery_target_xid',
  name: 'recovery_target_name',
} as const;

/**
 * What must be set so that a restored copy recovers to its target and does nothing else, in the order in which the lines
 * must stand. It undoes what the copy brings along: an old target, the ways to its primary, commands and delays of a
 * standby. A line for `hot_standby` is added where `pause` would otherwise shut the server down.
 */
export function recoverySettings(options: RecoverySettingsOptions): Setting[] {
  const { target, action, timeline, restoreCommand, archiveMode } = options;
  assert(restoreCommand !== '', 'recovery has a restore_command');
  assert(
    target.kind !== 'latest' || action === 'promote',
    'recovery to the end of WAL promotes, whatever is asked',
  );
  const settings: Setting[] = [
    { name: 'restore_command', value: restoreCommand },
    { name: 'recovery_target_timeline', value: String(timeline) },
    { name: 'recovery_target_action', value: action },
    { name: 'recovery_target_inclusive', value: isInclusive(target) ? 'on' : 'off' },
    ...targetSettings(target),
    { name: 'primary_conninfo', value: options.primaryConninfo ?? '' },
    { name: 'primary_slot_name', value: options.primarySlotName ?? '' },
    { name: 'synchronous_standby_names', value: '' },
    // A standby's pg_archivecleanup would delete from production's archive, and its delay would hold recovery up.
    { name: 'archive_cleanup_command', value: '' },
    { name: 'recovery_end_command', value: '' },
    { name: 'recovery_min_apply_delay', value: '0' },
  ];
  if (archiveMode === 'off') settings.push({ name: 'archive_mode', value: 'off' });
  if (action === 'pause') settings.push({ name: 'hot_standby', value: 'on' });
  return [...settings, ...(options.extra ?? [])];
}

/** The lines of {@link recoverySettings}, to be put at the end of postgresql.auto.conf. */
export function formatRecoverySettings(options: RecoverySettingsOptions): string {
  return `# Recovery settings of a restored copy, written by Walnut.\n${formatSettings(recoverySettings(options))}`;
}

/** All five, the empty ones first: a server reads them in order and refuses to empty one after another was set. */
function targetSettings(target: RecoverySettingsTarget): Setting[] {
  const used = target.kind === 'latest' ? null : TARGET_SETTINGS[target.kind];
  const unused = Object.values(TARGET_SETTINGS).filter((name) => name !== used);
  const settings: Setting[] = unused.map((name) => ({ name, value: '' }));
  if (used !== null) settings.push({ name: used, value: targetValue(target) });
  return settings;
}

function targetValue(target: RecoverySettingsTarget): string {
  if (target.kind === 'time') return formatTime(target.micros);
  if (target.kind === 'lsn') return formatLsn(target.lsn);
  if (target.kind === 'xid') return String(target.xid);
  if (target.kind === 'name') return requireRestorePointName(target.name);
  return target.kind === 'immediate' ? 'immediate' : '';
}

function isInclusive(target: RecoverySettingsTarget): boolean {
  return 'inclusive' in target ? target.inclusive : true;
}

/** In UTC, in the one form that no DateStyle reads in another way. */
function formatTime(micros: bigint): string {
  const inSecond = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const date = new Date(Number((micros - inSecond) / 1000n));
  const year = date.getUTCFullYear();
  assert(year >= 1 && year <= 9999, 'a target time lies in a year of four digits');
  const text = date.toISOString();
  const fraction = inSecond.toString().padStart(6, '0');
  return `${text.slice(0, 10)} ${text.slice(11, 19)}.${fraction}+00`;
}

function requireRestorePointName(name: string): string {
  const length = Buffer.byteLength(name);
  if (length >= 1 && length <= NAME_BYTES_MAX) return name;
  throw new WalnutError(
    'usage',
    `recover to restore point ${JSON.stringify(name)}: names have 1 to ${NAME_BYTES_MAX} bytes`,
  );
}
