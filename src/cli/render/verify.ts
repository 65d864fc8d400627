import { counted } from '../../lib/counted.ts';
import type { DamagedObject, VerifyReport } from '../../maintenance/verify-types.ts';
import { renderFields } from './table.ts';
import { renderBytes, renderDuration, renderRate } from './units.ts';

export type VerifyRendering = {
  readonly durationMs: number;
  readonly samplePercent: number | null;
};

/** What the text shows of long lists; the JSON document holds all of them. */
const OBJECTS_SHOWN = 50;
const BACKUPS_SHOWN = 8;

/** What was read, what is damaged and whom it hits, and what to do. */
export function renderVerifyReport(
  { checkedObjects, checkedBytes, damaged }: VerifyReport,
  { durationMs, samplePercent }: VerifyRendering,
): string {
  const rate = renderRate((checkedBytes / Math.max(durationMs, 1)) * 1000);
  const share = samplePercent === null ? '' : `, a sample of ${samplePercent} %`;
  const read = `${counted(checkedObjects, 'object')}, ${renderBytes(checkedBytes)} in ${renderDuration(durationMs)} (${rate})${share}`;
  if (damaged.length === 0) return `Nothing is damaged. Read and checked: ${read}.`;
  const backups = [...new Set(damaged.flatMap((one) => one.backups))].toSorted();
  return [
    `${damaged.length} ${damaged.length === 1 ? 'object is' : 'objects are'} damaged or missing. Read and checked: ${read}.`,
    ...damaged.slice(0, OBJECTS_SHOWN).map(renderDamaged),
    ...(damaged.length > OBJECTS_SHOWN
      ? [`And ${damaged.length - OBJECTS_SHOWN} more: walnut verify --json shows them.`]
      : []),
    backups.length === 0
      ? 'No backup is hit.'
      : `Hit ${backups.length === 1 ? 'is backup' : 'are backups'} ${listed(backups)}. Take a full backup now; restores refuse what is damaged and name it.`,
  ].join('\n\n');
}

function renderDamaged({ key, reason, backups, affects }: DamagedObject): string {
  const fields: [string, string][] = [['  reason', reason]];
  if (backups.length > 0) fields.push(['  hits', listed(backups)]);
  for (const [index, what] of affects.entries()) {
    fields.push([index === 0 ? '  affects' : '', what]);
  }
  return `${key}\n${renderFields(fields)}`;
}

function listed(ids: readonly string[]): string {
  const shown = ids.slice(0, BACKUPS_SHOWN).join(', ');
  return ids.length > BACKUPS_SHOWN ? `${shown} and ${ids.length - BACKUPS_SHOWN} more` : shown;
}
