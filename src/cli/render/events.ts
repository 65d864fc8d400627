import type { WalReceiveEvent } from '../../api/wal-contract.ts';
import { renderBytes, renderDuration } from './units.ts';

/** A line for people; the clock is left to the journal that reads it. */
export function renderReceiveEvent(event: WalReceiveEvent): string {
  switch (event.event) {
    case 'streaming':
      return `${event.server}: streaming from ${event.startLsn} on timeline ${event.timeline}, slot ${event.slot}`;
    case 'segment-stored': {
      const lag = event.lagBytes === null ? '' : `, ${renderBytes(event.lagBytes)} behind`;
      return `${event.server}: stored ${event.segment} (${renderBytes(event.bytes)} as ${renderBytes(event.storedBytes)}${lag})`;
    }
    case 'piece-stored':
      return `${event.server}: stored ${renderBytes(event.bytes)} of ${event.segment} at ${event.offset}`;
    case 'history-stored':
      return `${event.server}: stored the history of timeline ${event.timeline}`;
    case 'timeline-switched':
      return `${event.server}: timeline ${event.fromTimeline} became ${event.toTimeline} at ${event.switchLsn}`;
    case 'gap':
      return `${event.server}: GAP on timeline ${event.timeline} from ${event.fromLsn} to ${event.toLsn}: ${event.reason}`;
    case 'reconnecting':
      return `${event.server}: ${event.reason}; trying again in ${renderDuration(event.delayMs)}`;
    case 'stopped':
      break;
  }
  const durable =
    event.flushedLsn === null ? '' : `; everything before ${event.flushedLsn} is durable`;
  return `${event.server}: stopped${durable}`;
}
