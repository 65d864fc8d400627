import { WalnutError, type ErrorCode } from '../../lib/walnut-error.ts';
import { formatLsn, type Lsn } from '../lsn.ts';

/** Why valid WAL ends at a place, and the words for it. */
const STOP_REASONS = {
  'zero-length': 'no record begins there (zero length)',
  'zero-page': 'the page was never written (all header bytes zero)',
  'bad-length': 'the record length is impossible',
  'bad-crc': 'the record checksum does not match',
  'bad-prev-link': 'the record does not point back to its predecessor',
  'bad-resource-manager': 'the record belongs to an unknown resource manager',
  'malformed-record': 'the record content does not fit its type',
  'unknown-magic': 'the page magic is of no PostgreSQL version that this release reads (13 to 18)',
  'wrong-magic': 'the page belongs to another PostgreSQL version',
  'bad-page-flags': 'the page header has impossible flags',
  'bad-page-address': 'the page header holds another address (an old, recycled page)',
  'wrong-system-id': 'the page belongs to another database system',
  'wrong-segment-size': 'the page header holds another WAL segment size',
  'wrong-block-size': 'the page header holds a WAL block size other than 8192',
  'wrong-timeline': 'the page belongs to a timeline that cannot occur there',
  'missing-continuation': 'the page does not continue the record begun before it',
  'unexpected-continuation': 'the page continues a record that was not begun',
  'bad-continuation-length': 'the page continues the record with another length',
} as const;

export type WalStopReason = keyof typeof STOP_REASONS;

export const WAL_STOP_REASONS: readonly WalStopReason[] = Object.keys(
  STOP_REASONS,
) as WalStopReason[];

export type WalStop = {
  readonly reason: WalStopReason;
  /** The start of the record, or the address of the page, that was refused. */
  readonly lsn: Lsn;
};

/** Reasons that end WAL normally: nothing was written there yet, or an older use of the file shows through. */
const NATURAL_ENDS: ReadonlySet<WalStopReason> = new Set<WalStopReason>([
  'zero-length',
  'zero-page',
  'bad-page-address',
]);

export function isNaturalEnd(reason: WalStopReason): boolean {
  return NATURAL_ENDS.has(reason);
}

export function describeStop(stop: WalStop): string {
  return `WAL ends at ${formatLsn(stop.lsn)}: ${STOP_REASONS[stop.reason]}`;
}

const STOP_CODES: Partial<Record<WalStopReason, ErrorCode>> = {
  'unknown-magic': 'unsupported',
  'wrong-magic': 'foreign-system',
  'wrong-system-id': 'foreign-system',
  'wrong-segment-size': 'foreign-system',
  'wrong-block-size': 'unsupported',
};

/** The stop as the error of an act that needed WAL there, such as `store WAL segment 00…`. */
export function walStopError(act: string, stop: WalStop): WalnutError {
  return new WalnutError(
    STOP_CODES[stop.reason] ?? 'object-damaged',
    `${act}: ${describeStop(stop)}`,
    { details: { reason: stop.reason, lsn: formatLsn(stop.lsn) } },
  );
}
