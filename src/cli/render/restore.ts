import { formatLsn } from '../../postgres/lsn.ts';
import { postgresTimeToDate } from '../../postgres/wal/postgres-time.ts';
import type { RestorePlan } from '../../restore/plan.ts';
import type { Removals } from '../../restore/removals.ts';
import type { RestoreResult } from '../../restore/restore.ts';
import { shellQuote } from '../../restore/shell-quote.ts';
import { describeTarget } from '../../restore/target.ts';
import { targetValueOf } from '../restore-documents.ts';
import { renderFields } from './table.ts';
import { renderBytes, renderDuration, renderRate, renderTime } from './units.ts';

/** Names of what is deleted, in the plan for people. */
const NAMED_DELETIONS_MAX = 40;

/** The plan for people: `--dry-run` prints it, and a restore before it begins. */
export function renderRestorePlan(plan: RestorePlan): string {
  const { backup, content, locations, owner, room, wal } = plan;
  const fields: [string, string][] = [
    ['backup', `${backup.id}, ended ${renderTime(backup.finishedAt)}`],
    ['to', renderEnd(plan)],
    ['into', locations.dataDirectory],
    ...locations.tablespaces.map(({ name, directory }): [string, string] => [
      `tablespace ${name}`,
      directory,
    ]),
    ...(locations.walDirectory === null
      ? []
      : ([['pg_wal', `link to ${locations.walDirectory}`]] as [string, string][])),
    [
      'files',
      `${content.files}, ${renderBytes(content.restoreBytes)} (${renderBytes(content.readBytes)} to read)`,
    ],
    ...room.map(({ folders, neededBytes, freeBytes }): [string, string] => [
      'room',
      `${renderBytes(neededBytes)} needed of ${renderBytes(freeBytes)} free for ${folders.join(', ')}`,
    ]),
    ['WAL', renderWal(plan)],
    ...renderOverwrites(plan),
    ...(owner === null ? [] : ([['owner', owner.name]] as [string, string][])),
  ];
  const settings = plan.settings.map(({ name, value }) => `  ${name} = '${value}'`).join('\n');
  const parts = [renderFields(fields), `Appended to postgresql.auto.conf:\n${settings}`];
  if (plan.delta !== null) parts.push(...renderDeletions(plan.delta.removals));
  if (wal.mode === 'copy') parts.push(`Laid into pg_wal: ${wal.segments.length} segments.`);
  return [...parts, ...renderWarnings(plan)].join('\n\n');
}

/** What was done, and the commands to go on. */
export function renderRestored({ plan, ...result }: RestoreResult): string {
  const { request, backup, locations } = plan;
  const { restoredBytes, keptBytes, readBytes, durationMs } = result;
  const rate = renderRate((restoredBytes / Math.max(durationMs, 1)) * 1000);
  const done =
    `Restored ${request.server} from backup ${backup.id} into ${locations.dataDirectory}: ` +
    `${renderBytes(restoredBytes)} in ${renderDuration(durationMs)} (${rate}), ${renderBytes(readBytes)} read` +
    (plan.delta === null
      ? '.'
      : `; ${renderBytes(keptBytes)} were right already, ${plan.delta.removals.count} names deleted.`);
  return [done, ...renderWarnings(plan), renderNextSteps(plan), ...renderUndo(plan)].join('\n\n');
}

function renderOverwrites({ delta }: RestorePlan): [string, string][] {
  if (delta === null || delta.target.kind === 'empty') {
    return [['overwrites', 'nothing: the folder is empty or new']];
  }
  const { comparedFiles, comparedBytes, removals, target } = delta;
  const found = target.kind === 'cluster' ? 'the stopped cluster' : 'an unfinished restore';
  return [
    [
      'overwrites',
      `${found}: ${renderBytes(comparedBytes)} in ${comparedFiles} files are compared, what differs is written`,
    ],
    [
      'deletes',
      removals.count === 0 ? 'nothing' : `${removals.count} names, ${renderBytes(removals.bytes)}`,
    ],
  ];
}

function renderDeletions(removals: Removals): string[] {
  if (removals.count === 0) return [];
  const named = removals.first(NAMED_DELETIONS_MAX);
  const lines = named.map(({ place, kind }) => `  ${place}${kind === 'folder' ? '/' : ''}`);
  const more = removals.count - named.length;
  if (more > 0) lines.push(`  and ${more} more: --json has them`);
  return [`Deleted, since the backup does not have it:\n${lines.join('\n')}`];
}

function renderEnd({ request, end, order, settings }: RestorePlan): string {
  const where = `LSN ${formatLsn(end.recordLsn)} on timeline ${end.timeline}`;
  const last =
    end.lastCommit === null
      ? ''
      : `, last commit ${renderTime(postgresTimeToDate(end.lastCommit.timeUs))}`;
  const value = targetValueOf({ settings });
  const setting = `recovery_target${order.target.kind === 'immediate' ? '' : `_${order.target.kind}`}`;
  const told = value === null ? 'all of it is replayed' : `${setting} = '${value}'`;
  const then = request.standby ? 'standby' : order.action;
  return `${describeTarget(request.target)}: ${where}${last}; ${told}; then ${then}`;
}

function renderWal({ wal, restoreCommand }: RestorePlan): string {
  const count = `${wal.segments.length} segments, ${wal.firstSegment ?? '-'} to ${wal.lastSegment ?? '-'}`;
  return restoreCommand === null ? `${count}, copied now` : `${count}, fetched while it recovers`;
}

function renderWarnings({ warnings }: RestorePlan): string[] {
  return warnings.length === 0 ? [] : [warnings.map((text) => `Note: ${text}`).join('\n')];
}

function renderNextSteps({ owner, locations, order, request, backup }: RestorePlan): string {
  const account = owner === null || owner.uid === 0 ? '' : `sudo -u ${shellQuote(owner.name)} `;
  const control = `${account}pg_ctl -D ${shellQuote(locations.dataDirectory)}`;
  const lines = [
    `Start it (with the programs of PostgreSQL ${backup.manifest.majorVersion}):`,
    `  ${control} -l ${shellQuote(`${locations.dataDirectory}.log`)} start`,
  ];
  const promote = `  ${control} promote`;
  if (request.standby) {
    lines.push('It comes up as a standby and follows the archive. To make it a primary:', promote);
  } else if (order.action === 'pause') {
    lines.push(
      'It recovers and pauses at the target, readable. When it is what you want:',
      promote,
    );
  } else if (order.action === 'promote') {
    lines.push('It recovers and then becomes a primary by itself, on a new timeline.');
  } else {
    lines.push(
      'It recovers and shuts down at the target; the next start would go on from there. To use it, set',
      "  recovery_target_action = 'promote'",
      'at the end of its postgresql.auto.conf, and start it again.',
    );
  }
  return lines.join('\n');
}

function renderUndo({ changes }: RestorePlan): string[] {
  if (changes.length === 0) return [];
  const changed = changes.map(
    ({ name, from, to }) => `  ${name}: was ${quote(from)}, is ${quote(to)}`,
  );
  const undo = changes.map((change) => `  ${change.undo}`);
  return [
    [
      'Changed, so that the copy leaves the old server and its archive alone:',
      ...changed,
      'To have it as it was, once it is a primary (some need a restart):',
      ...undo,
    ].join('\n'),
  ];
}

function quote(value: string): string {
  return value === '' ? 'empty' : `'${value}'`;
}
