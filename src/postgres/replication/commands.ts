import { WalnutError } from '../../lib/walnut-error.ts';
import { sqlStateOf } from '../connection/error-mapping.ts';
import type { Session } from '../connection/session.ts';
import { formatLsn, parseLsn, type Lsn } from '../lsn.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import {
  protocolError,
  requiredColumn,
  runCommand,
  textColumn,
  type RawResult,
} from './raw-result.ts';

export type SystemIdentity = {
  readonly systemIdentifier: bigint;
  readonly timeline: TimelineId;
  /** The flushed end of WAL; on a standby what it replayed or received. */
  readonly flushLsn: Lsn;
  /** Null on a physical connection. */
  readonly database: string | null;
};

export async function identifySystem(session: Session): Promise<SystemIdentity> {
  const result = one(await runCommand(session, 'IDENTIFY_SYSTEM', 'identify the system'));
  return {
    systemIdentifier: BigInt(requiredColumn(result, 0, 'systemid')),
    timeline: toTimelineId(Number(requiredColumn(result, 0, 'timeline'))),
    flushLsn: parseLsn(requiredColumn(result, 0, 'xlogpos')),
    database: textColumn(result, 0, 'dbname'),
  };
}

/** A setting as people write it, such as `16MB`. */
export async function showSetting(session: Session, name: string): Promise<string> {
  const result = one(await runCommand(session, `SHOW ${name}`, `show setting ${name}`));
  const value = result.rows[0]?.[0];
  if (value === undefined || value === null) throw protocolError(`no value for ${name}`);
  return value.toString('utf8');
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
};

/** The cluster's WAL segment size in bytes. */
export async function showWalSegmentBytes(session: Session): Promise<number> {
  const text = await showSetting(session, 'wal_segment_size');
  const [, digits, unit = 'B'] = /^(\d+)(B|kB|MB|GB|TB)?$/.exec(text) ?? [];
  if (digits === undefined) throw protocolError(`wal_segment_size is "${text}"`);
  return Number(digits) * (UNIT_BYTES[unit] ?? 1);
}

export type TimelineHistoryFile = { readonly fileName: string; readonly content: Buffer };

/** The history file of a timeline above 1, byte for byte. A missing one is an error with `sqlState` 58P01. */
export async function readTimelineHistory(
  session: Session,
  timeline: TimelineId,
): Promise<TimelineHistoryFile> {
  const act = `read the history of timeline ${timeline}`;
  const result = one(await runCommand(session, `TIMELINE_HISTORY ${timeline}`, act));
  const content = result.rows[0]?.[1];
  if (content === undefined || content === null) throw protocolError('the history has no content');
  return { fileName: requiredColumn(result, 0, 'filename'), content: Buffer.from(content) };
}

export type CreateSlotOptions = {
  /** Gone with the connection. */
  readonly temporary?: boolean;
  /** Keeps WAL from the last checkpoint's redo position on; else from the first feedback. */
  readonly reserveWal?: boolean;
};

/**
 * Creates a physical slot with the legacy keyword syntax, which 13 to 18 all take. An existing one is an error with
 * `sqlState` 42710.
 */
export async function createSlot(
  session: Session,
  name: string,
  { temporary = false, reserveWal = true }: CreateSlotOptions = {},
): Promise<void> {
  const command = [
    `CREATE_REPLICATION_SLOT ${quoteSlot(name)}`,
    ...(temporary ? ['TEMPORARY'] : []),
    'PHYSICAL',
    ...(reserveWal ? ['RESERVE_WAL'] : []),
  ].join(' ');
  try {
    await runCommand(session, command, `create replication slot "${name}"`);
  } catch (error) {
    if (!(error instanceof WalnutError) || sqlStateOf(error) !== '53400') throw error;
    throw new WalnutError(error.code, error.message, {
      cause: error,
      details: error.details,
      hint: 'Raise max_replication_slots and restart the server, or drop an unused slot: SELECT slot_name, active FROM pg_replication_slots;',
    });
  }
}

export type SlotPosition = {
  /** Null when the slot keeps no WAL yet. */
  readonly restartLsn: Lsn | null;
  readonly restartTimeline: TimelineId | null;
};

/** READ_REPLICATION_SLOT came with it. */
export const READ_SLOT_MAJOR = 15;

/** Where a physical slot stands, or null when there is none. Servers from {@link READ_SLOT_MAJOR} on; before that ask SQL. */
export async function readSlot(session: Session, name: string): Promise<SlotPosition | null> {
  const act = `read replication slot "${name}"`;
  const result = one(await runCommand(session, `READ_REPLICATION_SLOT ${quoteSlot(name)}`, act));
  if (textColumn(result, 0, 'slot_type') === null) return null;
  const restartLsn = textColumn(result, 0, 'restart_lsn');
  const restartTimeline = textColumn(result, 0, 'restart_tli');
  return {
    restartLsn: restartLsn === null ? null : parseLsn(restartLsn),
    restartTimeline: restartTimeline === null ? null : toTimelineId(Number(restartTimeline)),
  };
}

/** Drops a slot. A missing one is an error with `sqlState` 42704, one in use 55006 unless `wait`. */
export async function dropSlot(
  session: Session,
  name: string,
  { wait = false }: { readonly wait?: boolean } = {},
): Promise<void> {
  const command = `DROP_REPLICATION_SLOT ${quoteSlot(name)}${wait ? ' WAIT' : ''}`;
  await runCommand(session, command, `drop replication slot "${name}"`);
}

/** The command that streams WAL; see wal-stream.ts. */
export function startReplicationCommand(options: {
  readonly slot: string | null;
  readonly start: Lsn;
  readonly timeline: TimelineId;
}): string {
  const slot = options.slot === null ? '' : `SLOT ${quoteSlot(options.slot)} `;
  return `START_REPLICATION ${slot}PHYSICAL ${formatLsn(options.start)} TIMELINE ${options.timeline}`;
}

/** The one kind of names that servers accept (`ReplicationSlotValidateName`), in double quotes. */
export function quoteSlot(name: string): string {
  if (!/^[a-z0-9_]{1,63}$/.test(name)) {
    throw new WalnutError('config', `use replication slot "${name}": not a valid name`, {
      hint: 'Slot names have up to 63 lower-case letters, digits and underscores.',
    });
  }
  return `"${name}"`;
}

/** A string literal of the replication grammar, which knows no escapes but the doubled quote. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function one(results: readonly RawResult[]): RawResult {
  const [result] = results;
  if (result === undefined || results.length !== 1) {
    throw protocolError(`${results.length} result sets where one must be`);
  }
  return result;
}
