import { WalnutError } from '../lib/walnut-error.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { parseTime } from './parse-time.ts';

/** Where recovery is to end, as the user said it. */
export type TargetChoice =
  | { readonly kind: 'latest' }
  | { readonly kind: 'immediate' }
  /** Microseconds since 2000-01-01 UTC, PostgreSQL's TimestampTz. */
  | { readonly kind: 'time'; readonly timeUs: number; readonly inclusive: boolean }
  | { readonly kind: 'lsn'; readonly lsn: Lsn; readonly inclusive: boolean }
  | { readonly kind: 'xid'; readonly xid: string; readonly inclusive: boolean }
  | { readonly kind: 'name'; readonly name: string };

export type TargetValues = {
  readonly toTime: string | undefined;
  readonly toLsn: Lsn | undefined;
  readonly toXid: string | undefined;
  readonly toName: string | undefined;
  readonly toImmediate: boolean;
  readonly exclusive: boolean;
};

/** At most one target; throws WalnutError `usage`. */
export function targetChoice(values: TargetValues, now: Date): TargetChoice {
  const inclusive = !values.exclusive;
  const chosen: [string, TargetChoice][] = [];
  if (values.toTime !== undefined) {
    const timeUs = readTime(values.toTime, now);
    chosen.push(['--to-time', { kind: 'time', timeUs, inclusive }]);
  }
  if (values.toLsn !== undefined) {
    chosen.push(['--to-lsn', { kind: 'lsn', lsn: values.toLsn, inclusive }]);
  }
  if (values.toXid !== undefined) {
    chosen.push(['--to-xid', { kind: 'xid', xid: values.toXid, inclusive }]);
  }
  if (values.toName !== undefined) {
    chosen.push(['--to-name', { kind: 'name', name: values.toName }]);
  }
  if (values.toImmediate) chosen.push(['--to-immediate', { kind: 'immediate' }]);
  const [first, second] = chosen;
  if (first !== undefined && second !== undefined) {
    throw new WalnutError('usage', `options ${first[0]} and ${second[0]}: give one target only`);
  }
  const target = first?.[1] ?? { kind: 'latest' };
  if (values.exclusive && !('inclusive' in target)) {
    throw new WalnutError('usage', 'option --exclusive: it needs --to-time, --to-lsn or --to-xid');
  }
  return target;
}

function readTime(text: string, now: Date): number {
  try {
    return parseTime(text, { now });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new WalnutError('usage', `option --to-time: ${error.message}`);
  }
}
