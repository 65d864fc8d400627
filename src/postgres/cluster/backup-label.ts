import { WalnutError } from '../../lib/walnut-error.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { isSegmentName, type SegmentName } from '../segment-name.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';

/** What a backup_label says. Only `bytes`, unchanged, may be written into a restored data directory. */
export type BackupLabel = {
  readonly bytes: Uint8Array;
  readonly startLsn: Lsn;
  /** The segment of `startLsn`, as the server names it. */
  readonly startSegment: SegmentName;
  readonly checkpointLsn: Lsn;
  readonly startTimeline: TimelineId;
  /** `streamed` for a backup; `pg_rewind` drops the requirement of an end-of-backup record. */
  readonly method: string;
  readonly from: 'primary' | 'standby';
  /** As the server prints it, in its log_timezone. */
  readonly startTime: string;
  readonly label: string;
  /** Set in PostgreSQL's own incrementals (17 and later), which cannot be restored alone. */
  readonly incrementalFrom: { readonly lsn: Lsn; readonly timeline: TimelineId } | null;
};

const LABEL_BYTES_MAX = 64 * 1024;
const START_WAL_LOCATION = /^([0-9A-Fa-f]+\/[0-9A-Fa-f]+) \(file ([0-9A-F]{24})\)$/;

/**
 * Reads a backup_label of any source: PostgreSQL's low-level API, BASE_BACKUP, pg_rewind. Later versions pad LSNs with
 * zeros (`0/03000028`); both forms are read.
 * Source: build_backup_content in src/backend/access/transam/xlogbackup.c, read_backup_label in xlogrecovery.c.
 * @throws WalnutError `object-damaged` when a field that recovery needs is missing or unreadable.
 */
export function parseBackupLabel(bytes: Uint8Array): BackupLabel {
  if (bytes.length > LABEL_BYTES_MAX) throw damaged(`${bytes.length} bytes is too long`);
  const fields = readFields(Buffer.from(bytes).toString('utf8'));
  const [, startLsn, startSegment] =
    START_WAL_LOCATION.exec(required(fields, 'START WAL LOCATION')) ?? [];
  if (startLsn === undefined || startSegment === undefined || !isSegmentName(startSegment)) {
    throw damaged('START WAL LOCATION is unreadable');
  }
  const from = required(fields, 'BACKUP FROM');
  // 13 still says master.
  if (from !== 'primary' && from !== 'standby' && from !== 'master') {
    throw damaged(`BACKUP FROM is ${JSON.stringify(from)}`);
  }
  const fileTimeline = timelineOf(String(Number.parseInt(startSegment.slice(0, 8), 16)), 'file');
  const startTimeline = timelineOf(required(fields, 'START TIMELINE'), 'START TIMELINE');
  if (fileTimeline !== startTimeline) {
    throw damaged(`it starts on timeline ${startTimeline} in a file of timeline ${fileTimeline}`);
  }
  return {
    bytes,
    startLsn: lsnOf(startLsn, 'START WAL LOCATION'),
    startSegment,
    checkpointLsn: lsnOf(required(fields, 'CHECKPOINT LOCATION'), 'CHECKPOINT LOCATION'),
    startTimeline,
    method: required(fields, 'BACKUP METHOD'),
    from: from === 'standby' ? 'standby' : 'primary',
    startTime: fields.get('START TIME') ?? '',
    label: fields.get('LABEL') ?? '',
    incrementalFrom: incrementalFromOf(fields),
  };
}

/** The first line of each field; a label with newlines must not overrule what precedes it. */
function readFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ');
    const name = colon < 0 ? '' : line.slice(0, colon);
    if (name !== '' && !fields.has(name))
      fields.set(name, line.slice(colon + 2).replace(/\r$/, ''));
  }
  return fields;
}

function incrementalFromOf(fields: ReadonlyMap<string, string>): BackupLabel['incrementalFrom'] {
  const lsn = fields.get('INCREMENTAL FROM LSN');
  if (lsn === undefined) return null;
  return {
    lsn: lsnOf(lsn, 'INCREMENTAL FROM LSN'),
    timeline: timelineOf(required(fields, 'INCREMENTAL FROM TLI'), 'INCREMENTAL FROM TLI'),
  };
}

function required(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined) throw damaged(`${name} is missing`);
  return value;
}

function lsnOf(text: string, name: string): Lsn {
  try {
    return parseLsn(text);
  } catch (error) {
    throw damaged(`${name} is unreadable`, error);
  }
}

function timelineOf(text: string, name: string): TimelineId {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 0xffff_ffff) throw damaged(`${name} is unreadable`);
  return toTimelineId(value);
}

function damaged(reason: string, cause?: unknown): WalnutError {
  return new WalnutError('object-damaged', `read backup_label: ${reason}`, {
    hint: 'Without its backup_label a backup must not be restored: choose another backup.',
    cause,
  });
}
