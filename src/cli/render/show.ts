import type { ShowDocument } from '../../api/contract.ts';
import { renderFields } from './table.ts';
import {
  localZoneOffset,
  renderBytes,
  renderDuration,
  renderTime,
  type ZoneOffset,
} from './units.ts';

export type ShowRendering = { readonly now: Date; readonly zoneOffset?: ZoneOffset };

/** Damage shown by name in the text; the document holds all of it. */
const DAMAGE_SHOWN = 100;

export function renderShow(backup: ShowDocument, rendering: ShowRendering): string {
  const parts = [`Backup ${backup.id} of server ${backup.server}`, renderFacts(backup, rendering)];
  if (backup.damage.length > 0) parts.push(renderDamage(backup));
  if (backup.warnings.length > 0) {
    parts.push(['Warnings', ...backup.warnings.map((text) => `  ${text}`)].join('\n'));
  }
  const settings = Object.entries(backup.settings).toSorted(([first], [second]) =>
    first < second ? -1 : 1,
  );
  parts.push(
    `Settings of the server\n${renderFields(settings.map(([name, value]) => [`  ${name}`, value]))}`,
  );
  parts.push(`Restore it:  walnut restore ${backup.server} --backup ${backup.id} --target DIR`);
  return parts.join('\n\n');
}

function renderFacts(
  backup: ShowDocument,
  { now, zoneOffset = localZoneOffset }: ShowRendering,
): string {
  const finished = new Date(backup.finishedAt);
  const started = new Date(backup.startedAt);
  const age = renderDuration(Math.max(0, now.getTime() - finished.getTime()));
  const tookMs = finished.getTime() - started.getTime();
  const from = backup.changeSource === null ? '' : `, changes from ${backup.changeSource}`;
  const parent = backup.parent === null ? '' : `, on top of ${backup.parent}`;
  const fields: [string, string][] = [
    ['type', `${backup.type}${parent}, source ${backup.source}${from}`],
    ['began', renderTime(started, zoneOffset)],
    ['ended', `${renderTime(finished, zoneOffset)}, ${age} ago, after ${renderDuration(tookMs)}`],
    [
      'cluster',
      `${renderBytes(backup.clusterBytes)} in ${backup.files} files, ${backup.pages} pages`,
    ],
    ['stored', `${renderBytes(backup.storedBytes)} in ${backup.packs} packs`],
    ['WAL', `${backup.startLsn} to ${backup.stopLsn} on timeline ${backup.timeline}`],
    ['checkpoint', backup.checkpointLsn],
    ['server', `PostgreSQL ${backup.serverVersion}, system ${backup.systemIdentifier}`],
    ['checksums', backup.dataChecksums ? 'on' : 'off'],
    ['WAL segments', renderBinary(backup.walSegmentBytes)],
    ['databases', renderDatabases(backup)],
    ...backup.tablespaces.map(({ oid, name, location }): [string, string] => [
      'tablespace',
      `${name ?? oid} in ${location}`,
    ]),
  ];
  if (backup.name !== null) fields.unshift(['name', backup.name]);
  if (backup.kept) {
    const { keptUntil } = backup;
    const until = keptUntil === null ? null : renderTime(new Date(keptUntil), zoneOffset);
    fields.push(['kept', until === null ? 'for ever' : `until ${until}`]);
  }
  return renderFields(fields.map(([name, value]) => [`  ${name}`, value]));
}

function renderDatabases({ databases }: ShowDocument): string {
  if (databases === null) return 'not known: the server took no SQL';
  return databases.map(({ name }) => name).join(', ') || 'none';
}

function renderDamage({ damage }: ShowDocument): string {
  const shown = damage.slice(0, DAMAGE_SHOWN).map(({ file, block, relation }) => {
    const of = relation === null ? '' : `, of ${relation}`;
    return `  ${file}, block ${block}${of}`;
  });
  const more = damage.length > DAMAGE_SHOWN ? [`  and ${damage.length - DAMAGE_SHOWN} more`] : [];
  return ['Pages that were damaged on the server', ...shown, ...more].join('\n');
}

/** Segment sizes are powers of two, and everyone knows them as such. */
function renderBinary(bytes: number): string {
  return `${bytes / 2 ** 20} MiB`;
}
