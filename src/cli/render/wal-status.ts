import type { WalServerStatus, WalSlotStatus } from '../../api/wal-contract.ts';
import { renderFields, renderTable } from './table.ts';
import { renderBytes, renderDuration } from './units.ts';

export function renderWalStatus(servers: readonly WalServerStatus[]): string {
  return servers.map(renderServer).join('\n\n');
}

function renderServer(status: WalServerStatus): string {
  const rows = status.timelines.flatMap(({ timeline, segments, storedBytes, ranges }) =>
    ranges.map(({ fromLsn, toLsn }, index) => [
      index === 0 ? String(timeline) : '',
      fromLsn,
      toLsn,
      index === 0 ? String(segments) : '',
      index === 0 ? renderBytes(storedBytes) : '',
    ]),
  );
  const table = renderTable(
    [
      { title: 'timeline', align: 'right' },
      { title: 'from' },
      { title: 'to' },
      { title: 'segments', align: 'right' },
      { title: 'stored', align: 'right' },
    ],
    rows,
  );
  const stored = rows.length === 0 ? 'no WAL is stored yet' : table;
  const gaps = status.gaps.map(
    ({ timeline, fromLsn, toLsn }) => `GAP on timeline ${timeline} from ${fromLsn} to ${toLsn}`,
  );
  return [status.server, stored, ...gaps, renderFields(fieldsOf(status))].join('\n');
}

function fieldsOf(status: WalServerStatus): [string, string][] {
  if (status.error !== null) return [['server', status.error]];
  const fields: [string, string][] = [['server at', status.serverLsn ?? 'unknown']];
  if (status.lagBytes !== null) {
    const time =
      status.lagMs === null || status.lagMs === 0 ? '' : `, ${renderDuration(status.lagMs)}`;
    fields.push(['behind', `${renderBytes(status.lagBytes)}${time}`]);
  }
  if (status.slot !== null) fields.push(['slot', renderSlot(status.slot)]);
  return fields;
}

function renderSlot(slot: WalSlotStatus): string {
  if (!slot.exists) return `${slot.name} does not exist`;
  const kept = slot.retainedBytes === null ? '' : `, keeps ${renderBytes(slot.retainedBytes)}`;
  if (slot.active === null) return `${slot.name}${kept}; whether it is in use takes SQL to see`;
  const activity = slot.active ? 'in use' : 'not in use';
  return `${slot.name}, ${activity}, WAL ${slot.walStatus ?? 'not reserved'}${kept}`;
}
