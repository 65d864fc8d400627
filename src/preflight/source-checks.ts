/** Whether the files of the cluster can be reached in one of the three ways (`backup --from`). */
import { access, constants, open } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import {
  CONTROL_FILE_BYTES,
  CONTROL_FILE_PATH,
  parseControlFile,
} from '../postgres/cluster/control-file.ts';
import { functionsNeeded, missingGrants } from '../postgres/connection/grants.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import type { SqlRefusal } from '../postgres/replication/server-connection.ts';
import type { CheckedServer } from './check-types.ts';
import { fail, failedBy, pass, type Finding } from './finding.ts';

export type SourceFindings = {
  readonly findings: readonly Finding[];
  /** Grants that the best source lacks although another one works. */
  readonly optionalGrants: readonly string[];
};

export async function checkSources(server: CheckedServer): Promise<SourceFindings> {
  const { plan, facts, session, signal, sqlRefusal } = server;
  if (sqlRefusal !== null) {
    return { findings: await checkStreamOnly(server, sqlRefusal), optionalGrants: [] };
  }
  const grants = await missingGrants(session, plan.dataDirectory === null ? 'connection' : 'local');
  const replication = await checkReplication(server);
  const canStream = replication.every(({ passed }) => passed);
  const needsReplication = plan.wal !== 'archive';
  const findings: Finding[] = [];
  if (plan.dataDirectory !== null) findings.push(await checkDataDirectory(server));
  signal.throwIfAborted();
  const functions = functionsNeeded(
    plan.dataDirectory === null ? 'connection' : 'local',
    session.majorVersion,
  );
  const hasNone = grants.length === functions.length && !facts.role.isSuperuser;
  const isStreamOnly = hasNone && canStream && plan.dataDirectory === null;
  findings.push(sourceFinding(server, { grants, isStreamOnly }));
  if (needsReplication || (grants.length > 0 && !isStreamOnly && canStream)) {
    findings.push(...replication);
  }
  return { findings, optionalGrants: isStreamOnly ? grants : [] };
}

/** The connection itself shows that the role may replicate; whatever else it may do takes SQL. */
async function checkStreamOnly(
  server: CheckedServer,
  { reason, hint = 'Let the role connect to its database.' }: SqlRefusal,
): Promise<Finding[]> {
  const { plan, facts } = server;
  const name = 'backup rights';
  const replication = [
    pass('replication role', `role ${facts.role.name} has REPLICATION`),
    pass('replication connection', 'pg_hba.conf lets the role replicate'),
  ];
  if (plan.dataDirectory === null) {
    const detail = `role ${facts.role.name} backs up by source stream. For source connection, which is parallel: ${hint}`;
    return [pass(name, detail), ...replication];
  }
  const error = new WalnutError('permission', `source local needs SQL, and ${reason}`, { hint });
  return [await checkDataDirectory(server), failedBy(name, error, server.signal), ...replication];
}

function sourceFinding(
  { plan, facts }: CheckedServer,
  { grants, isStreamOnly }: { readonly grants: readonly string[]; readonly isStreamOnly: boolean },
): Finding {
  const name = 'backup rights';
  const source = plan.dataDirectory === null ? 'connection' : 'local';
  if (grants.length === 0)
    return pass(name, `role ${facts.role.name} may do what source ${source} needs`);
  if (isStreamOnly) {
    return pass(
      name,
      `role ${facts.role.name} backs up by source stream. For source connection, which is parallel, run as a superuser ` +
        `in the database that Walnut connects to: ${grants.join(' ')}`,
    );
  }
  return fail(
    name,
    `role ${facts.role.name} may not call ${grants.length} functions that source ${source} needs`,
    {
      kind: 'sql',
      text: grants.join('\n'),
    },
  );
}

/** The role's attribute, and a line of pg_hba.conf. */
async function checkReplication({
  settings,
  facts,
  signal,
  session,
}: CheckedServer): Promise<Finding[]> {
  const role = facts.role.mayReplicate
    ? pass('replication role', `role ${facts.role.name} has REPLICATION`)
    : fail('replication role', `role ${facts.role.name} has not REPLICATION`, {
        kind: 'sql',
        text: `ALTER ROLE ${await quoted(session, facts.role.name)} REPLICATION;`,
      });
  const name = 'replication connection';
  try {
    const { session: opened, fallback } = await openReplicationConnection(settings, {
      applicationName: 'walnut check',
      signal,
    });
    await opened.close();
    return [role, pass(name, fallback ?? 'pg_hba.conf lets the role replicate')];
  } catch (error) {
    const finding = failedBy(name, error, signal);
    // Without the attribute the server refuses only after pg_hba.conf let the role in.
    const isAboutRole = !role.passed && finding.fixKind === 'sql';
    return [role, isAboutRole ? pass(name, 'pg_hba.conf lets the role in') : finding];
  }
}

async function quoted(session: CheckedServer['session'], role: string): Promise<string> {
  const rows = await session.query<{ name: string }>('SELECT quote_ident($1) AS name', {
    parameters: [role],
    act: 'quote a name',
  });
  return rows[0]?.name ?? role;
}

/** The configured folder must be readable and this very cluster's. */
async function checkDataDirectory({ plan, facts, signal }: CheckedServer): Promise<Finding> {
  const name = 'data directory';
  const path = plan.dataDirectory ?? '';
  try {
    const { systemIdentifier } = parseControlFile(await readControlFile(path));
    if (systemIdentifier !== facts.systemIdentifier) {
      return fail(name, `${path} belongs to another cluster, system ${systemIdentifier}`, {
        kind: 'other',
        text: `Set data_directory of server ${plan.server} in walnut.toml to what SHOW data_directory; prints.`,
      });
    }
    await access(join(path, 'base'), constants.R_OK | constants.X_OK);
    return pass(name, `${path} can be read and belongs to the server`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES') {
      return fail(name, `${path} cannot be read: ${messageOf(error)}`, {
        kind: 'other',
        text:
          'Run Walnut as the user that owns the data directory, or as one of its group where the cluster was made with ' +
          'initdb --allow-group-access; or leave data_directory out, to read over the connection.',
      });
    }
    if (code !== 'ENOENT' && code !== 'ENOTDIR') return failedBy(name, error, signal);
    return fail(name, `${path} holds no cluster`, {
      kind: 'other',
      text: `Set data_directory of server ${plan.server} in walnut.toml to what SHOW data_directory; prints.`,
    });
  }
}

async function readControlFile(dataDirectory: string): Promise<Buffer> {
  const handle = await open(join(dataDirectory, CONTROL_FILE_PATH), 'r');
  try {
    const bytes = Buffer.alloc(CONTROL_FILE_BYTES);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
