import type { WalReceiveEvent } from '../api/wal-contract.ts';
import type { ReceiverEvent } from '../archive/receiver-event.ts';
import { contractTime } from '../api/contract-fields.ts';
import { formatLsn } from '../postgres/lsn.ts';

/** A receiver's event as `wal receive --json` prints it. */
export function receiveEventOf(server: string, event: ReceiverEvent, now: Date): WalReceiveEvent {
  const base = { at: contractTime(now), server };
  switch (event.kind) {
    case 'streaming': {
      const { kind, start, ...rest } = event;
      return { ...base, event: kind, ...rest, startLsn: formatLsn(start) };
    }
    case 'segment-stored':
    case 'piece-stored':
    case 'history-stored': {
      const { kind, ...rest } = event;
      return { ...base, event: kind, ...rest } as WalReceiveEvent;
    }
    case 'timeline-switched': {
      const { kind, from, to, switchLsn } = event;
      const timelines = { fromTimeline: from, toTimeline: to };
      return { ...base, event: kind, ...timelines, switchLsn: formatLsn(switchLsn) };
    }
    case 'gap': {
      const { kind, timeline, start, end, reason } = event;
      const range = { timeline, fromLsn: formatLsn(start), toLsn: formatLsn(end) };
      return { ...base, event: kind, ...range, reason };
    }
    case 'retrying':
      return { ...base, event: 'reconnecting', reason: event.reason, delayMs: event.delayMs };
    case 'stopped':
      break;
  }
  const flushedLsn = event.flushed === null ? null : formatLsn(event.flushed);
  return { ...base, event: 'stopped', flushedLsn };
}
