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
export function roleStatements(majorVersion: MajorVersion): string[] {
  const functions = [
    ...functionsNeeded('connection', majorVersion),
    ...functionsNeeded('switch-wal', majorVersion),
  ];
  return [
    "CREATE ROLE walnut LOGIN REPLICATION PASSWORD '…';",
    'GRANT pg_monitor TO walnut;',
    ...functions.map((signature) => `GRANT EXECUTE ON FUNCTION pg_catalog.${signature} TO walnut;`),
  ];
}
