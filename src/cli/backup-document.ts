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
  const lines = [
    `backup ${manifest.id} of server ${manifest.server} is done`,
    renderFields([
      [
        '  type',
        `${manifest.type}, source ${manifest.source}${manifest.fromStandby ? ', from a standby' : ''}`,
      ],
      ['  cluster', `${renderBytes(totals.clusterBytes)} in ${totals.files} files`],
      ['  stored', `${renderBytes(totals.storedBytes)}${ratio(totals)}`],
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

function ratio({ clusterBytes, storedBytes }: Manifest['totals']): string {
  return storedBytes === 0 ? '' : `, ${(clusterBytes / storedBytes).toFixed(1)} to 1`;
}
