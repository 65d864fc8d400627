/** Every precondition of backup and WAL of one server; each that does not hold comes with its fix. */
import {
  describeConnection,
  type ConnectionSettings,
} from '../postgres/connection/connection-settings.ts';
import { connectToServer } from '../postgres/replication/server-connection.ts';
import type { CheckedRepository, CheckedServer, CheckRequest, ServerPlan } from './check-types.ts';
import { checkContinuity } from './continuity-check.ts';
import { failedBy, pass, type Finding } from './finding.ts';
import {
  checkLastBackup,
  checkRepository,
  checkSpace,
  readCheckedRepository,
} from './repository-checks.ts';
import {
  checkBlockSize,
  checkClock,
  checkFullPageWrites,
  checkIdentity,
  checkWalLevel,
  noteChecksums,
  noteRelease,
} from './server-checks.ts';
import { checkSources } from './source-checks.ts';
import { checkSpool } from './spool-check.ts';
import { checkWalIntake } from './wal-checks.ts';
import { proveWalPath } from './wal-proof.ts';

/** Goes on after a failure as far as that is possible; rejects only when it is interrupted or Walnut is wrong. */
export async function checkServer(request: CheckRequest, signal: AbortSignal): Promise<Finding[]> {
  const findings: Finding[] = [checkConfiguration(request)];
  const repository = await attempt(findings, signal, {
    name: 'repository',
    work: async () => openRepository(request, findings, signal),
  });
  try {
    const server = await attempt(findings, signal, {
      name: 'connection',
      work: async () => connect(request, signal),
    });
    if (request.wal !== 'archive') findings.push(await checkSpool(request.spoolDirectory, signal));
    if (server !== null) {
      try {
        await checkConnected(findings, { request, repository, server });
      } finally {
        await server.session.close();
      }
    }
    if (repository !== null) {
      const { server: name } = request;
      findings.push(checkLastBackup(repository, { server: name, now: request.now() }));
      const continuity = await attempt(findings, signal, {
        name: 'WAL continuity',
        work: async () => checkContinuity(repository, name),
      });
      if (continuity !== null) findings.push(continuity);
    }
  } finally {
    await repository?.store.close();
  }
  return findings;
}

function checkConfiguration({ inactiveKeys }: CheckRequest): Finding {
  const name = 'configuration';
  if (inactiveKeys.length === 0) return pass(name, 'read and understood');
  const keys = inactiveKeys.map(({ key, reason }) => `${key} (${reason})`).join('; ');
  return pass(name, `read and understood; this release does not act on ${keys}`);
}

async function openRepository(
  { openRepository: open, server }: CheckRequest,
  findings: Finding[],
  signal: AbortSignal,
): Promise<CheckedRepository> {
  const store = await open();
  try {
    findings.push(await checkRepository(store, server, signal));
    return await readCheckedRepository(store, server);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function connect(request: CheckRequest, signal: AbortSignal): Promise<CheckedServer> {
  return connectForCheck(request, await request.readConnection(), signal);
}

/** Connects to the server that writes WAL, where several hosts are named. */
export async function connectForCheck(
  plan: ServerPlan,
  settings: ConnectionSettings,
  signal: AbortSignal,
): Promise<CheckedServer> {
  const chosen =
    settings.hosts.length > 1 ? { ...settings, targetSessionAttrs: 'primary' as const } : settings;
  const connection = await connectToServer(chosen, { applicationName: 'walnut check', signal });
  return { ...connection, plan, settings: chosen, signal };
}

type Connected = {
  readonly request: CheckRequest;
  readonly repository: CheckedRepository | null;
  readonly server: CheckedServer;
};

async function checkConnected(
  findings: Finding[],
  { request, repository, server }: Connected,
): Promise<void> {
  const { signal } = server;
  findings.push(describeServer(server));
  const steps: Step[] = [
    step('block size', async () => [checkBlockSize(server)]),
    step('clock', async () => [await checkClock(server)]),
    step('backup rights', async () => [...(await checkSources(server)).findings]),
    step('wal_level', async () => [checkWalLevel(server), checkFullPageWrites(server)]),
    step('WAL intake', async () => checkWalIntake(server)),
    step('data checksums', async () => [noteChecksums(server), noteRelease(server)]),
  ];
  if (request.backupFrom !== 'primary') {
    steps.push(step('standby', async () => [await checkStandby(server)]));
  }
  if (repository !== null) {
    steps.push(...repositorySteps({ request, repository, server, findings }));
  }
  for (const { name, run } of steps) {
    const found = await attempt(findings, signal, { name, work: run });
    findings.push(...(found ?? []));
  }
}

function describeServer({ facts, session, settings, sqlRefusal }: CheckedServer): Finding {
  const role = facts.role.isSuperuser ? 'a superuser' : 'no superuser';
  const limits =
    sqlRefusal === null
      ? ''
      : `; over replication connections only (${sqlRefusal.reason}), so that not everything can be checked`;
  return pass(
    'connection',
    `${describeConnection(settings)}: PostgreSQL ${session.majorVersion}.${facts.serverVersionNum % 10_000}, ` +
      `role ${facts.role.name}, ${role}, ${session.encryption?.protocol ?? 'not encrypted'}${limits}`,
  );
}

function repositorySteps({
  request,
  repository,
  server,
  findings,
}: Connected & {
  readonly repository: CheckedRepository;
  readonly findings: readonly Finding[];
}): Step[] {
  const { store } = repository;
  const prove = async (): Promise<Finding[]> => {
    const mayArchive = findings.every(({ name, passed }) => passed || !name.startsWith('archive_'));
    const proof = { store, timeoutMs: request.proofTimeoutMs, mayArchive };
    return [await proveWalPath(server, proof)];
  };
  return [
    step('repository space', async () => [
      await checkSpace(repository, await clusterBytes(server)),
    ]),
    step('system identifier', async () => [await checkIdentity(store, server)]),
    step('WAL path', prove),
  ];
}

async function checkStandby({ settings, plan, signal }: CheckedServer): Promise<Finding> {
  const standby = { ...settings, targetSessionAttrs: plan.backupFrom as 'standby' };
  const { session } = await connectToServer(standby, { applicationName: 'walnut check', signal });
  await session.close();
  return pass('standby', `a server for backup_from = ${plan.backupFrom} answers`);
}

async function clusterBytes({ session, sqlRefusal }: CheckedServer): Promise<number | null> {
  if (sqlRefusal !== null) return null;
  try {
    const rows = await session.query<{ bytes: string }>(
      'SELECT sum(pg_tablespace_size(oid))::text AS bytes FROM pg_tablespace',
      { act: 'ask for the size of the cluster' },
    );
    return Number(rows[0]?.bytes);
  } catch {
    // Only an estimate; a role without pg_monitor may not ask.
    return null;
  }
}

type Step = { readonly name: string; readonly run: () => Promise<Finding[]> };

function step(name: string, run: () => Promise<Finding[]>): Step {
  return { name, run };
}

/** Null when the work failed, which is then a finding. */
async function attempt<T>(
  findings: Finding[],
  signal: AbortSignal,
  { name, work }: { readonly name: string; readonly work: () => Promise<T> },
): Promise<T | null> {
  signal.throwIfAborted();
  try {
    return await work();
  } catch (error) {
    findings.push(failedBy(name, error, signal));
    return null;
  }
}
