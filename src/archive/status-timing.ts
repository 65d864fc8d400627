/** When to report to the server, and what: pure, so that it can be shown right. */
import type { Lsn } from '../postgres/lsn.ts';

/** As often as pg_receivewal; well below half of any sensible wal_sender_timeout. */
export const STATUS_INTERVAL_MS = 10_000;
/** A server that says nothing for this long is taken for dead: it sends keepalives at half of wal_sender_timeout. */
export const SILENCE_MS_MAX = 90_000;

export type StatusState = {
  readonly nowMs: number;
  readonly lastSentMs: number;
  /** What was last reported as flushed. */
  readonly reportedLsn: Lsn;
  /** What is durable. */
  readonly durableLsn: Lsn;
  /** The server asked for an answer that it has not got. */
  readonly isRequested: boolean;
};

/** Progress is reported at once, because a commit may wait for it. */
export function isStatusDue(state: StatusState): boolean {
  if (state.isRequested || state.durableLsn > state.reportedLsn) return true;
  return state.nowMs - state.lastSentMs >= STATUS_INTERVAL_MS;
}

/** Whether the connection must be given up; a receiver that does not read cannot tell. */
export function isSilent(state: {
  readonly nowMs: number;
  readonly lastHeardMs: number;
  readonly isReading: boolean;
}): boolean {
  return state.isReading && state.nowMs - state.lastHeardMs > SILENCE_MS_MAX;
}
