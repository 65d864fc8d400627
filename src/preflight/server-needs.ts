import { quoteIdentifier } from '../postgres/connection/authorization-hints.ts';
import { functionsNeeded, missingGrants, type GrantNeed } from '../postgres/connection/grants.ts';
import type { MajorVersion } from '../postgres/version.ts';
import type { CheckedServer } from './check-types.ts';
import type { Finding, FixKind } from './finding.ts';
import { checkFullPageWrites, checkWalLevel } from './server-checks.ts';
import { checkSources } from './source-checks.ts';
import { checkWalIntake } from './wal-checks.ts';

/** What a server still needs, ready to paste. */
export type ServerNeed = {
  readonly kind: FixKind;
  readonly text: string;
  readonly reason: string;
};

const OLDEST_MAJOR: MajorVersion = 13;
/** The backup functions have other names from then on. */
const GRANTS_CHANGED_MAJOR: MajorVersion = 15;

/** Grants that no backup fails without. */
const CONVENIENCES: readonly (readonly [GrantNeed, string])[] = [
  ['monitor', 'shows where the server keeps its files, their sizes, and other sessions'],
  ['switch-wal', 'lets `walnut check` and `walnut wal switch` finish a segment and see it arrive'],
];

/** What is missing for the role and the way that were chosen; changes nothing. */
export async function findServerNeeds(server: CheckedServer): Promise<ServerNeed[]> {
  const sources = await checkSources(server);
  const findings = [
    ...sources.findings,
    checkWalLevel(server),
    checkFullPageWrites(server),
    ...(await checkWalIntake(server)),
  ];
  const needs = findings.flatMap(needOf);
  const optional = sources.optionalGrants.map((text) => ({
    kind: 'sql' as const,
    text,
    reason: 'backups over connections are parallel; without this they are read by BASE_BACKUP',
  }));
  if (server.sqlRefusal !== null) return needs;
  const conveniences: ServerNeed[] = [];
  for (const [need, reason] of CONVENIENCES) {
    for (const text of await missingGrants(server.session, need)) {
      conveniences.push({ kind: 'sql', text, reason });
    }
  }
  return [...needs, ...optional, ...conveniences];
}

export function needOf({ fix, fixKind, name, detail }: Finding): ServerNeed[] {
  return fix === null ? [] : [{ kind: fixKind, text: fix, reason: `${name}: ${detail}` }];
}

/** SQL that makes a role with just the rights that Walnut uses. */
export function roleStatements(role: string, majorVersion: MajorVersion): string[] {
  return [...membershipStatements(role), ...grantStatements(role, majorVersion)];
}

/**
 * For a login that failed: the server does not say whether the role exists, nor of which version it is.
 */
export function roleNeeds(role: string): ServerNeed[] {
  const need = (reason: string, statements: readonly string[]): ServerNeed => ({
    kind: 'sql',
    text: statements.join('\n'),
    reason,
  });
  return [
    need(`if role ${role} does not exist yet`, membershipStatements(role)),
    need('and on PostgreSQL 15 and newer', grantStatements(role, GRANTS_CHANGED_MAJOR)),
    need('or on PostgreSQL 13 and 14', grantStatements(role, OLDEST_MAJOR)),
  ];
}

function membershipStatements(role: string): string[] {
  const name = quoteIdentifier(role);
  return [`CREATE ROLE ${name} LOGIN REPLICATION PASSWORD '…';`, `GRANT pg_monitor TO ${name};`];
}

function grantStatements(role: string, majorVersion: MajorVersion): string[] {
  const functions = [
    ...functionsNeeded('connection', majorVersion),
    ...functionsNeeded('switch-wal', majorVersion),
  ];
  const name = quoteIdentifier(role);
  return functions.map(
    (signature) => `GRANT EXECUTE ON FUNCTION pg_catalog.${signature} TO ${name};`,
  );
}
