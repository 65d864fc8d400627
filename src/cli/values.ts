/** Readers of option values; each throws SyntaxError or RangeError with what was expected. */
import { isAbsolute, resolve } from 'node:path';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { isSegmentName, type SegmentName } from '../postgres/segment-name.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import { isBackupId, type BackupId } from '../repository/backup-id.ts';

const JOBS_MAX = 128;
const LEVEL_MAX = 19;
/** `recovery_target_name`: MAXFNAMELEN in src/include/access/xlog_internal.h. */
const RESTORE_POINT_BYTES_MAX = 63;

export function parseJobs(text: string): number {
  return parseInteger(text, { min: 1, max: JOBS_MAX });
}

export function parseLevel(text: string): number {
  return parseInteger(text, { min: 1, max: LEVEL_MAX });
}

function parseInteger(text: string, range: { min: number; max: number }): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.min && value <= range.max) return value;
  throw new SyntaxError(`"${text}" is not a whole number from ${range.min} to ${range.max}`);
}

/** A share between 0 (exclusive) and 100. */
export function parsePercent(text: string): number {
  const value = /^\d{1,3}(\.\d+)?\s*%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (value > 0 && value <= 100) return value;
  throw new SyntaxError(`"${text}" is not a percentage between 0 and 100`);
}

export function parseLsnOption(text: string): Lsn {
  return parseLsn(text);
}

/** Transaction ids as `txid_current()` and `pg_current_xact_id()` show them; recovery compares the low 32 bits. */
export function parseXid(text: string): string {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  // 0 to 2 are PostgreSQL's own: src/include/access/transam.h.
  if (value < 3n || value >= 2n ** 64n) {
    throw new SyntaxError(`"${text}" is not a transaction id: a number from 3 up`);
  }
  return text;
}

export function parseRestorePoint(text: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes >= 1 && bytes <= RESTORE_POINT_BYTES_MAX) return text;
  throw new SyntaxError(`"${text}" is not a restore point: names have 1 to 63 bytes`);
}

export type TimelineChoice = TimelineId | 'latest' | 'current';

/** `latest`, `current`, a decimal number, or the eight hexadecimal digits (or `0x…`) of a history file. */
export function parseTimelineChoice(text: string): TimelineChoice {
  if (text === 'latest' || text === 'current') return text;
  const hexadecimal = /^(?:0x([0-9a-f]{1,8})|([0-9a-f]{8}))$/i.exec(text);
  const digits = hexadecimal?.[1] ?? hexadecimal?.[2];
  if (digits !== undefined) return toTimelineId(Number.parseInt(digits, 16));
  if (/^\d{1,7}$/.test(text)) return toTimelineId(Number(text));
  throw new SyntaxError(`"${text}" is not a timeline: write latest, current or its number`);
}

export function parseBackupId(text: string): BackupId {
  if (isBackupId(text)) return text;
  throw new SyntaxError(
    `"${text}" is not a backup id such as 20261122T191500Z-F; walnut list shows them`,
  );
}

export function parseSegment(text: string): SegmentName {
  if (isSegmentName(text)) return text;
  throw new SyntaxError(`"${text}" is not the name of a WAL segment: 24 hexadecimal digits`);
}

export function parseIncarnation(text: string): string {
  if (/^\d{1,20}-\d{2}$/.test(text)) return text;
  throw new SyntaxError(`"${text}" is not an incarnation such as 7432109876543210987-18`);
}

/** Relative to the folder in which the command is typed. */
export function parsePath(text: string): string {
  if (text === '' || text.includes('\0')) throw new SyntaxError('a path must not be empty');
  return resolve(text);
}

export type Assignment = { readonly name: string; readonly value: string };

/** `work_mem=64MB`; the value may be empty. */
export function parseSetting(text: string): Assignment {
  const [, name, value] =
    /^([A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)?)\s*=([^]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new SyntaxError(`"${text}" is not a setting: write NAME=VALUE`);
  }
  return { name: name.toLowerCase(), value };
}

/** `fast_disk=/mnt/ssd/shop`: a tablespace's name or oid, or a link's path, and an absolute folder. */
export function parseMapping(text: string): Assignment {
  const at = text.indexOf('=');
  const [name, value] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 1 || !isAbsolute(value)) {
    throw new SyntaxError(`"${text}" is not a mapping: write NAME=/absolute/folder`);
  }
  return { name, value: resolve(value) };
}

/** A name for people, kept in the manifest. */
export function parseBackupName(text: string): string {
  if (text.length >= 1 && text.length <= 200 && !/\p{Cc}/u.test(text)) return text;
  throw new SyntaxError('a name has 1 to 200 characters and no control characters');
}
