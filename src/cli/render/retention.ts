import { counted } from '../../lib/counted.ts';
import { namesOf, sizeOf } from '../../catalog/backup-deletion.ts';
import type { PlannedBackup } from '../../catalog/retention-plan.ts';
import type { KeepReason } from '../../catalog/retention-policy.ts';
import type { DeleteOutcome } from '../../maintenance/delete-backups.ts';
import type { ExpireOutcome } from '../../maintenance/expire.ts';
import { lostMoments, type WindowChange } from '../../maintenance/window-change.ts';
import { expiringTimelines } from '../retention-documents.ts';
import { renderTable, type Column } from './table.ts';
import { localZoneOffset, renderBytes, renderTime, type ZoneOffset } from './units.ts';

const COLUMNS: readonly Column[] = [
  { title: '  BACKUP' },
  { title: 'TYPE' },
  { title: 'ENDED' },
  { title: 'FREES', align: 'right' },
  { title: 'STAYS BECAUSE' },
];

const REASONS: Readonly<Record<KeepReason, string>> = {
  full: 'among the full backups to keep',
  daily: 'last of its day',
  weekly: 'last of its week',
  monthly: 'last of its month',
  yearly: 'last of its year',
  window: 'inside the window',
  'window-base': 'the window begins with it',
  'minimum-redundancy': 'among the newest',
  newest: 'the newest',
  marked: 'marked to be kept',
  'being-read': 'being read',
  'none-is-sound': 'no backup is undamaged',
  'no-policy': 'no retention rule is configured',
};

/** What stays and why, what goes and what that frees, and which moments can no longer be restored. */
export function renderRetentionPlan(
  outcome: ExpireOutcome,
  zoneOffset: ZoneOffset = localZoneOffset,
): string {
  const { plan, windows } = outcome;
  const freed = new Map(plan.deletions.map((deletion) => [deletion.id, deletion.freedBytes]));
  const rows = plan.backups.map((planned) =>
    rowOf(planned, freed.get(planned.backup.id) ?? null, zoneOffset),
  );
  const lines = [`${plan.server}: ${headOf(outcome, zoneOffset)}`];
  if (rows.length > 0) lines.push(renderTable(COLUMNS, rows));
  lines.push(...plan.archives.flatMap(expiringTimelines).map(walLine));
  for (const { inventory, heldBack } of plan.archives) {
    if (heldBack !== null) lines.push(`  WAL of ${inventory.name} stays: ${heldBack}`);
  }
  lines.push(...leftoverLines(plan.leftovers), ...lostLines(windows, zoneOffset));
  return lines.join('\n');
}

export function renderDeletionPlan(
  { plan, windows, contentStays }: DeleteOutcome,
  zoneOffset: ZoneOffset = localZoneOffset,
): string {
  const lines = plan.backups.map((deletion) => {
    const names = namesOf(deletion);
    return `  ${deletion.id}: ${counted(names.length, 'object')}, frees ${renderBytes(deletion.freedBytes)}`;
  });
  if (contentStays !== null) lines.push(`  Their content stays for now: ${contentStays}`);
  lines.push(...leftoverLines(plan.leftovers), ...lostLines(windows, zoneOffset));
  return ['To be deleted', ...lines].join('\n');
}

function headOf({ plan, freedBytes }: ExpireOutcome, zoneOffset: ZoneOffset): string {
  if (plan.heldBack !== null) return `nothing expires: ${plan.heldBack}`;
  const since = plan.windowBegin === null ? '' : renderTime(plan.windowBegin, zoneOffset);
  return `any moment since ${since} stays restorable; frees ${renderBytes(freedBytes)}`;
}

function rowOf(
  { backup, reasons }: PlannedBackup,
  freedBytes: number | null,
  zoneOffset: ZoneOffset,
): string[] {
  const { id, manifest, finishedAt } = backup;
  const facts = [`  ${id}`, manifest.type, renderTime(finishedAt, zoneOffset)];
  if (freedBytes !== null) return [...facts, renderBytes(freedBytes), 'GOES'];
  return [...facts, '', reasons.map((reason) => REASONS[reason]).join(', ')];
}

function walLine({
  timeline,
  ranges,
  objects,
  freedBytes,
}: ReturnType<typeof expiringTimelines>[number]): string {
  const stretches = ranges.map(({ fromLsn, toLsn }) => `${fromLsn} to ${toLsn}`).join(', ');
  const what = stretches === '' ? '' : ` ${stretches}`;
  return `  WAL of timeline ${timeline}${what}: ${counted(objects, 'object')}, frees ${renderBytes(freedBytes)}`;
}

function leftoverLines(leftovers: Parameters<typeof sizeOf>[0]): string[] {
  if (leftovers.length === 0) return [];
  const bytes = renderBytes(sizeOf(leftovers));
  return [
    `  Left by work that did not end: ${counted(leftovers.length, 'object')}, frees ${bytes}`,
  ];
}

function lostLines(windows: WindowChange, zoneOffset: ZoneOffset): string[] {
  const lost = lostMoments(windows);
  if (lost.length === 0) return [];
  return [
    '  No longer restorable',
    ...lost.map(({ timeline, from, to }) => {
      const [begin, end] = [renderTime(from, zoneOffset), renderTime(to, zoneOffset)];
      return `    timeline ${timeline}: ${begin === end ? begin : `${begin} to ${end}`}`;
    }),
  ];
}
