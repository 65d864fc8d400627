import type { CompactOutcome } from '../../maintenance/compact.ts';
import { shareOf, type PackPlan } from '../../maintenance/compaction-plan.ts';
import { renderTable, type Column } from './table.ts';
import { renderBytes } from './units.ts';

const COLUMNS: readonly Column[] = [
  { title: '  PACK' },
  { title: 'STORED', align: 'right' },
  { title: 'NEEDED', align: 'right' },
  { title: 'NOTES' },
];
/** What the text shows; the JSON document holds all of them. */
const PACKS_SHOWN = 50;

export function renderCompactionPlan(packs: readonly PackPlan[]): string {
  if (packs.length === 0) return 'Nothing to rewrite: of every pack enough is needed.';
  const rows = packs
    .slice(0, PACKS_SHOWN)
    .map((pack) => [
      `  ${pack.key}`,
      renderBytes(pack.storedBytes),
      `${Math.floor(shareOf(pack) * 100)} %`,
      pack.heldBack === null ? '' : `stays: ${pack.heldBack}`,
    ]);
  const more = packs.length > PACKS_SHOWN ? [`  and ${packs.length - PACKS_SHOWN} more`] : [];
  const going = packs.filter(({ heldBack }) => heldBack === null);
  const frees = going.reduce((sum, pack) => sum + pack.storedBytes * (1 - shareOf(pack)), 0);
  const what = `${going.length} packs to rewrite, which frees about ${renderBytes(frees)}`;
  return [what, renderTable(COLUMNS, rows), ...more].join('\n');
}

export function renderCompacted(outcome: CompactOutcome): string {
  const { writtenBytes, freedBytes, damaged, revisions } = outcome;
  const lines = [
    `Wrote ${renderBytes(writtenBytes)}, deleted ${renderBytes(freedBytes)}; ${revisions.size} manifests have a new revision.`,
  ];
  for (const { key, reason, backups } of damaged) {
    lines.push(`DAMAGED, not moved: ${key}: ${reason}; hits ${backups.join(', ')}`);
  }
  if (damaged.length > 0) lines.push('Take a full backup now; `walnut verify` shows what is lost.');
  return lines.join('\n');
}
