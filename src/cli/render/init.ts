import type { InitDocument } from '../../api/contract.ts';
import type { MajorVersion } from '../../postgres/version.ts';
import { roleStatements } from '../../preflight/server-needs.ts';
import { renderFields } from './table.ts';

export type InitRendering = {
  /** The server's version, where the connection is a superuser's. */
  readonly superuserOf: MajorVersion | null;
  readonly isReached: boolean;
};

const ROLE_DEFAULT = 'walnut';

const HEADINGS: Readonly<Record<InitDocument['missing'][number]['kind'], string>> = {
  sql: 'Run as a superuser, in the database that Walnut connects to',
  'pg_hba.conf': 'pg_hba.conf',
  setting: 'Settings of the server',
  other: 'Also',
};

export function renderInit(document: InitDocument, rendering: InitRendering): string {
  const parts = [renderDone(document), renderMissing(document, rendering)];
  if (rendering.superuserOf !== null) parts.push(renderRole(rendering.superuserOf));
  parts.push(renderNext(document, rendering));
  return parts.join('\n\n');
}

function renderDone({
  configFile,
  configWritten,
  repository,
  server,
  ...rest
}: InitDocument): string {
  const fields: [string, string][] = [
    ['configuration', `${configFile}, ${configWritten ? 'written' : 'in place'}`],
    ['repository', `${repository.url}, ${repository.created ? 'created' : 'in place'}`],
    [
      'server',
      `${server}${rest.newIncarnation ? ', a new cluster under this name from now on' : ''}`,
    ],
  ];
  if (rest.slot !== null) {
    fields.push(['slot', `${rest.slot.name}, ${rest.slot.created ? 'created' : 'in place'}`]);
  }
  return renderFields(fields);
}

function renderMissing({ missing }: InitDocument, { isReached }: InitRendering): string {
  if (missing.length === 0) return 'The server needs nothing more.';
  const kinds = (['sql', 'pg_hba.conf', 'setting', 'other'] as const).filter((kind) =>
    missing.some((need) => need.kind === kind),
  );
  const lead = isReached
    ? 'The server still needs what follows; none of it was changed.'
    : 'The server could not be reached:';
  return [lead, ...kinds.map((kind) => renderKind(missing, kind))].join('\n\n');
}

/** Reasons as comments of the place where the text goes, so that all of it can be copied. */
function renderKind(
  missing: InitDocument['missing'],
  kind: InitDocument['missing'][number]['kind'],
): string {
  const lines = [`${HEADINGS[kind]}:`];
  const comment = kind === 'sql' || kind === 'setting' ? '--' : '#';
  let told = '';
  for (const { text, reason, kind: own } of missing) {
    if (own !== kind) continue;
    if (reason !== told) lines.push(`  ${comment} ${reason}`);
    told = reason;
    lines.push(...text.split('\n').map((line) => `  ${line}`));
  }
  return lines.join('\n');
}

function renderRole(majorVersion: MajorVersion): string {
  return [
    'The connection is a superuser’s. A role with just the rights that Walnut uses is safer:',
    ...roleStatements(ROLE_DEFAULT, majorVersion).map((statement) => `  ${statement}`),
  ].join('\n');
}

function renderNext({ server }: InitDocument, { isReached }: InitRendering): string {
  if (!isReached) return `Then:  walnut init ${server}`;
  return [
    'Next:',
    `  walnut check ${server}`,
    `  walnut backup ${server}`,
    `  walnut wal receive ${server}`,
  ].join('\n');
}
