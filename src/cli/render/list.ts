import { counted } from '../../lib/counted.ts';
import type { BackupRecord } from '../../catalog/backup-catalog.ts';
import type { RecoveryWindow } from '../../catalog/recovery-window.ts';
import { formatLsn } from '../../postgres/lsn.ts';
import type { LsnRange } from '../../postgres/timeline-history.ts';
import { nameOfIncarnation } from '../../repository/repository.ts';
import type { IncarnationContents, ServerContents } from '../list-server.ts';
import { renderTable, type Column } from './table.ts';
import {
  localZoneOffset,
  renderBytes,
  renderDuration,
  renderTime,
  type ZoneOffset,
} from './units.ts';

export type ListRendering = { readonly now: Date; readonly zoneOffset?: ZoneOffset };

const COLUMNS: readonly Column[] = [
  { title: '  BACKUP' },
  { title: 'TYPE' },
  { title: 'ENDED' },
  { title: 'AGE', align: 'right' },
  { title: 'CLUSTER', align: 'right' },
  { title: 'STORED', align: 'right' },
  { title: 'TL', align: 'right' },
  { title: 'NOTES' },
];

export function renderList(servers: readonly ServerContents[], rendering: ListRendering): string {
  return servers.map((server) => renderServer(server, rendering)).join('\n\n');
}

function renderServer(server: ServerContents, rendering: ListRendering): string {
  const { name, present, incarnations, backups, unreadable } = server;
  if (present === null) {
    return `${name}: not seen yet\n  No backups. The first: walnut backup ${name}`;
  }
  const parts = [`${name}: PostgreSQL ${present.majorVersion}, system ${present.systemIdentifier}`];
  if (backups.length + unreadable.length === 0) {
    parts.push(`  No backups. The first: walnut backup ${name}`);
  } else {
    parts.push(renderBackups(server, rendering));
  }
  for (const contents of incarnations) {
    const isPresent = contents.incarnation === present;
    parts.push(...renderIncarnation(contents, { ...rendering, isPresent }));
  }
  return parts.join('\n');
}

function renderBackups(server: ServerContents, rendering: ListRendering): string {
  const { backups, unreadable } = server;
  const rows = backups.map((backup) => backupRow(server, backup, rendering));
  const lost = unreadable.map(({ id }) => [
    `  ${id}`,
    '',
    '',
    '',
    '',
    '',
    '',
    'UNREADABLE: its manifest is damaged',
  ]);
  return renderTable(COLUMNS, [...rows, ...lost]);
}

function backupRow(
  { kept, hit, present }: ServerContents,
  { id, manifest, finishedAt, damaged, incarnation }: BackupRecord,
  { now, zoneOffset = localZoneOffset }: ListRendering,
): string[] {
  const notes: string[] = [];
  if (damaged) notes.push(`DAMAGED: ${counted(manifest.damage.length, 'page')} on the server`);
  if (hit.has(id)) notes.push('DAMAGED in the repository: walnut verify tells where');
  const mark = kept.get(id);
  if (mark !== undefined) {
    notes.push(mark.until === null ? 'kept' : `kept until ${renderTime(mark.until, zoneOffset)}`);
  }
  if (present !== null && incarnation !== nameOfIncarnation(present)) {
    notes.push(`PostgreSQL ${manifest.majorVersion}, system ${manifest.systemIdentifier}`);
  }
  if (manifest.name !== null) notes.push(`"${manifest.name}"`);
  return [
    `  ${id}`,
    manifest.type,
    renderTime(finishedAt, zoneOffset),
    renderDuration(Math.max(0, now.getTime() - finishedAt.getTime())),
    renderBytes(manifest.totals.clusterBytes),
    renderBytes(manifest.totals.storedBytes),
    String(manifest.timeline),
    notes.join(', '),
  ];
}

function renderIncarnation(
  { incarnation, windows, gaps, plannedGaps }: IncarnationContents,
  rendering: ListRendering & { readonly isPresent: boolean },
): string[] {
  const of = rendering.isPresent
    ? ''
    : ` (PostgreSQL ${incarnation.majorVersion}, system ${incarnation.systemIdentifier})`;
  const lines =
    windows.length === 0
      ? [`  Cannot be restored to any moment yet${of}`]
      : [
          `  Can be restored to any moment${of}`,
          ...windows.map((window) => windowLine(window, rendering)),
        ];
  if (gaps.length > 0) lines.push(`  WAL is missing${of}`, ...gaps.map(gapLine));
  if (plannedGaps.length > 0) {
    lines.push(`  WAL was given up by retention${of}`, ...plannedGaps.map(gapLine));
  }
  return lines;
}

function windowLine(
  { timeline, from, to, fromLsn, toLsn }: RecoveryWindow,
  { zoneOffset = localZoneOffset }: ListRendering,
): string {
  const times = `from ${renderTime(from, zoneOffset)} to ${renderTime(to, zoneOffset)}`;
  return `    timeline ${timeline}: ${times}  (${formatLsn(fromLsn)} to ${formatLsn(toLsn)})`;
}

function gapLine({ timeline, start, end }: LsnRange): string {
  const size = renderBytes(Number(end - start));
  return `    timeline ${timeline}: ${formatLsn(start)} to ${formatLsn(end)}, ${size}`;
}
