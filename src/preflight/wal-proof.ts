/** Proves the way of the WAL: what the server writes now must be in the repository soon. */
import { isStoredUpTo, type WalPoint } from '../catalog/stored-position.ts';
import type { WalScope } from '../catalog/wal-inventory.ts';
import { sleep } from '../lib/sleep.ts';
import { hasCode } from '../lib/walnut-error.ts';
import { switchWal } from '../postgres/connection/backup-functions.ts';
import { missingGrants } from '../postgres/connection/grants.ts';
import { formatLsn, parseLsn, type Lsn } from '../postgres/lsn.ts';
import { identifySystem } from '../postgres/replication/commands.ts';
import { formatSegmentName, segmentNumberBefore } from '../postgres/segment-name.ts';
import { serverKeys, walKeys } from '../repository/layout.ts';
import {
  nameOfIncarnation,
  presentIncarnation,
  readServerRecord,
} from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckedServer } from './check-types.ts';
import { fail, pass, type Finding } from './finding.ts';

const NAME = 'WAL path';
const POLL_MS = 200;

export type WalProof = {
  readonly store: ObjectStore;
  readonly timeoutMs: number;
  /** False when it is known already that archive_command cannot work. */
  readonly mayArchive: boolean;
};

export async function proveWalPath(server: CheckedServer, proof: WalProof): Promise<Finding> {
  const { plan, facts, sqlRefusal } = server;
  if (facts.isInRecovery === true)
    return pass(NAME, 'not tried: the server is a standby and cannot switch WAL');
  const record = await readServerRecord(proof.store, plan.server);
  if (record === null) {
    return pass(
      NAME,
      `not tried: the repository does not know the server yet; run walnut init ${plan.server}`,
    );
  }
  const incarnation = presentIncarnation(record);
  if (incarnation.systemIdentifier !== String(facts.systemIdentifier)) {
    return pass(NAME, 'not tried: the server is not the one that the repository knows');
  }
  const isReceived = plan.wal !== 'archive' && (await isLeased(proof.store, plan.server));
  if (plan.wal === 'stream' && !isReceived) {
    return pass(
      NAME,
      `not tried: nobody receives WAL now. Backups receive their own; for any moment in between run \`walnut wal receive ${plan.server}\``,
    );
  }
  if (!isReceived && !proof.mayArchive) {
    return pass(NAME, 'not tried: archive_command must be set first');
  }
  const scope = { server: plan.server, incarnation };
  if (sqlRefusal !== null) {
    return isReceived
      ? proveWithoutSql(server, proof, scope)
      : pass(NAME, 'not tried: to switch to a new WAL segment takes SQL');
  }
  const grants = await missingGrants(server.session, 'switch-wal');
  if (grants.length === 0) return proveBySwitch(server, proof, scope);
  if (isReceived) return proveByPosition(server, proof, scope);
  return fail(NAME, 'it cannot be tried: the role may not switch to a new WAL segment', {
    kind: 'sql',
    text: grants.join('\n'),
  });
}

/** Whether a receiver holds the server's WAL. */
async function isLeased(store: ObjectStore, server: string): Promise<boolean> {
  const owner = {
    command: 'walnut check',
    host: 'localhost',
    processId: process.pid,
    startedAt: new Date().toISOString(),
  };
  try {
    const lease = await store.acquireLease(serverKeys.walLease(server), owner);
    await lease.release();
    return false;
  } catch (error) {
    if (!hasCode(error, 'locked')) throw error;
    return true;
  }
}

async function proveBySwitch(
  server: CheckedServer,
  proof: WalProof,
  { incarnation, server: name }: WalScope,
): Promise<Finding> {
  const { session, facts } = server;
  await writeSomeWal(server);
  const end = await switchWal(session);
  const number = segmentNumberBefore(end, facts.walSegmentBytes);
  const segment = formatSegmentName({ timeline: facts.timeline, number }, facts.walSegmentBytes);
  const place = {
    server: name,
    incarnation: nameOfIncarnation(incarnation),
    timeline: facts.timeline,
  };
  const key = walKeys.segment(place, segment);
  const startedMs = performance.now();
  const isStored = await waitUntil(
    server,
    proof,
    async () => (await proof.store.stat(key)) !== null,
  );
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (isStored) return pass(NAME, `switched segment ${segment} was stored after ${seconds} s`);
  return notStored(
    server,
    `switched segment ${segment} is not in the repository after ${seconds} s`,
  );
}

/** Without the right to switch: what is written now must be stored soon. */
async function proveByPosition(
  server: CheckedServer,
  proof: WalProof,
  scope: WalScope,
): Promise<Finding> {
  await writeSomeWal(server);
  const lsn = await currentLsn(server);
  return proveStored(server, proof, { scope, end: { timeline: server.facts.timeline, lsn } });
}

/** Nothing can be written without SQL: what the server has flushed by now must be stored. */
async function proveWithoutSql(
  server: CheckedServer,
  proof: WalProof,
  scope: WalScope,
): Promise<Finding> {
  const { flushLsn, timeline } = await identifySystem(server.session);
  return proveStored(server, proof, { scope, end: { timeline, lsn: flushLsn } });
}

async function proveStored(
  server: CheckedServer,
  proof: WalProof,
  { scope, end }: { readonly scope: WalScope; readonly end: WalPoint },
): Promise<Finding> {
  const startedMs = performance.now();
  const isStored = await waitUntil(server, proof, async () =>
    isStoredUpTo(proof.store, scope, end),
  );
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const what = `all that the server had written, up to ${formatLsn(end.lsn)},`;
  if (isStored) return pass(NAME, `${what} was stored after ${seconds} s`);
  return notStored(server, `${what} is not in the repository after ${seconds} s`);
}

/** So that there is a segment to switch: on an idle server pg_switch_wal does nothing. Any role may do this. */
async function writeSomeWal({ session }: CheckedServer): Promise<void> {
  await session.query('SELECT txid_current()', { act: 'write WAL' });
}

async function currentLsn({ session }: CheckedServer): Promise<Lsn> {
  const rows = await session.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn', {
    act: 'ask for the end of WAL',
  });
  return parseLsn(rows[0]?.lsn ?? '0/0');
}

async function waitUntil(
  { signal }: CheckedServer,
  { timeoutMs }: WalProof,
  isDone: () => Promise<boolean>,
): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    if (await isDone()) return true;
    if (performance.now() >= endMs) return false;
    await sleep(POLL_MS, signal);
  }
}

function notStored({ plan }: CheckedServer, detail: string): Finding {
  const stream = `See what \`walnut wal receive ${plan.server}\` prints, and \`walnut wal status ${plan.server}\`.`;
  const archive =
    'See the log of the server for what archive_command prints; run it by hand as the user of the server.';
  const text =
    plan.wal === 'stream' ? stream : plan.wal === 'archive' ? archive : `${stream} ${archive}`;
  return fail(NAME, detail, { kind: 'other', text });
}
