import type { BackupDocument } from '../api/contract.ts';
import type { Manifest } from '../repository/manifest.ts';
import { renderFields } from './render/table.ts';
import { renderBytes, renderDuration, renderRate, renderTime } from './render/units.ts';

/** The `--json` document of one backup, made of its manifest. */
export function backupDocument(manifest: Manifest): BackupDocument {
  const { totals } = manifest;
  return {
    id: manifest.id,
    type: manifest.type,
    server: manifest.server,
    parent: manifest.parent,
    source: manifest.source,
    changeSource: manifest.changeSource,
    timeline: manifest.timeline,
    startLsn: manifest.startLsn,
    stopLsn: manifest.stopLsn,
    startedAt: manifest.startedAt,
    finishedAt: manifest.finishedAt,
    durationMs: manifest.durationMs,
    clusterBytes: totals.clusterBytes,
    readBytes: totals.readBytes,
    storedBytes: totals.storedBytes,
    files: totals.files,
    changedFiles: totals.changedFiles,
    pages: totals.pages,
    changedPages: totals.changedPages,
    damagedPages: totals.damagedPages,
    damage: manifest.damage,
    warnings: manifest.warnings,
  };
}

/** Damage shown by name; the rest is in `walnut show`. */
const DAMAGE_SHOWN = 20;

/** What a person reads when a backup is done. */
export function renderBackup(manifest: Manifest): string {
  const { totals, durationMs } = manifest;
  const fields: [string, string][] =
    manifest.parent === null ? [] : [['  changed', changed(manifest)]];
  const lines = [
    `backup ${manifest.id} of server ${manifest.server} is done`,
    renderFields([
      ['  type', typeText(manifest)],
      ['  cluster', `${renderBytes(totals.clusterBytes)} in ${totals.files} files`],
      ...fields,
      ['  stored', `${renderBytes(totals.storedBytes)}${ratio(manifest)}`],
      [
        '  time',
        `${renderDuration(durationMs)}, ${renderRate((totals.readBytes / durationMs) * 1000)}`,
      ],
      ['  WAL', `${manifest.startLsn} to ${manifest.stopLsn} on timeline ${manifest.timeline}`],
      ['  restorable from', renderTime(new Date(manifest.finishedAt))],
    ]),
  ];
  if (manifest.damage.length > 0) lines.push(renderDamage(manifest));
  return lines.join('\n');
}

function renderDamage({ damage, server, id }: Manifest): string {
  const shown = damage
    .slice(0, DAMAGE_SHOWN)
    .map(
      ({ file, block, relation }) =>
        `  ${file}, block ${block}${relation === null ? '' : `, of ${relation}`}`,
    );
  const more = damage.length > DAMAGE_SHOWN ? [`  … all of them: walnut show ${server} ${id}`] : [];
  return [
    `${damage.length} damaged pages were read from the server. The backup is kept and marked damaged:`,
    ...shown,
    ...more,
    'Restores pass this backup over as long as there is an undamaged one. Repair the server and back it up again.',
  ].join('\n');
}

function typeText({ type, parent, source, fromStandby }: Manifest): string {
  const onTop = parent === null ? '' : ` on top of ${parent}`;
  return `${type}${onTop}, source ${source}${fromStandby ? ', from a standby' : ''}`;
}

const KNOWN_FROM: Readonly<Record<NonNullable<Manifest['changeSource']>, string>> = {
  archive: 'known from the archived WAL',
  summaries: "known from the server's WAL summaries",
  compare: 'found by comparing every page',
};

function changed({ totals, changeSource }: Manifest): string {
  const { changedPages, pages, changedFiles } = totals;
  const how = changeSource === null ? '' : `, ${KNOWN_FROM[changeSource]}`;
  return `${changedPages} of ${pages} pages, in ${changedFiles} files${how}`;
}

/** How well a backup that shares nothing compressed; of another one the figure would say nothing. */
function ratio({ totals, packs, id }: Manifest): string {
  const { clusterBytes, storedBytes } = totals;
  const sharesNothing = packs.every(({ key }) => key.includes(`/${id}/`));
  if (storedBytes === 0 || !sharesNothing) return '';
  return `, ${(clusterBytes / storedBytes).toFixed(1)} to 1`;
}
