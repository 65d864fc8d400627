/** Reads back and checks what a repository holds: every object, and that what manifests name is there. */
import { WalnutError } from '../lib/walnut-error.ts';
import { DESCRIPTOR_KEY } from '../repository/layout.ts';
import { listServers, readDescriptor, type Incarnation } from '../repository/repository.ts';
import { CheckLanes } from './check-lanes.ts';
import { checkChunks, checkPacks, checkStrayObjects } from './check-backups.ts';
import { checkRecords } from './check-records.ts';
import { checkWal } from './check-wal.ts';
import { DamageLedger } from './damage-ledger.ts';
import { faultOf } from './fault.ts';
import { loadBackups, type LoadedBackups } from './load-backups.ts';
import { scanServer } from './scan-server.ts';
import type { VerifyRun } from './verify-run.ts';
import type { VerifyOptions, VerifyProgress, VerifyReport } from './verify-types.ts';

/**
 * Goes on after damage. Throws `repository-missing` when there is no repository, `no-backup` for an unknown backup, the
 * signal's reason when it is aborted, and what the store fails with as a whole.
 */
export async function verify(
  options: VerifyOptions,
  progress: VerifyProgress,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { store, jobs, random = Math.random, servers } = options;
  const ledger = new DamageLedger(progress.damageFound);
  const lanes = new CheckLanes({ store, jobs, random, signal });
  const run: VerifyRun = {
    options,
    progress,
    signal,
    ledger,
    lanes,
    draw: () => options.samplePercent === null || random() * 100 < options.samplePercent,
    counts: { objects: 0, bytes: 0 },
    unexpected: [],
  };
  try {
    await checkDescriptor(run);
    for (const server of servers) await checkServer(run, server);
  } finally {
    await lanes.close();
  }
  return {
    checkedObjects: run.counts.objects,
    checkedBytes: run.counts.bytes,
    damaged: ledger.report(),
    unexpected: run.unexpected,
  };
}

async function checkDescriptor({ options, ledger, counts }: VerifyRun): Promise<void> {
  const { store } = options;
  try {
    await readDescriptor(store);
    counts.objects += 1;
    counts.bytes += (await store.stat(DESCRIPTOR_KEY))?.sizeBytes ?? 0;
  } catch (error) {
    const isLost = error instanceof WalnutError && error.code === 'repository-missing';
    if (isLost && (await listServers(store)).length === 0) throw error;
    ledger.add(DESCRIPTOR_KEY, isLost ? 'missing' : faultOf(error));
    ledger.hit(DESCRIPTOR_KEY, [], { what: 'the whole repository: no command opens it' });
  }
}

async function checkServer(run: VerifyRun, server: string): Promise<void> {
  const { options, progress, ledger, counts } = run;
  const { store, backup: only } = options;
  progress.phase(server, 'backups');
  const records = await checkRecords(run, server);
  const loaded = await loadBackups(store, { server, only, ledger });
  counts.objects += loaded.objects;
  counts.bytes += loaded.bytes;
  if (only !== null && loaded.backups.length === 0) requireKnown(run, server);
  const ids = loaded.backups.map(({ id }) => id);
  ledger.hit(DESCRIPTOR_KEY, ids);
  for (const key of records.damagedKeys) ledger.hit(key, ids);
  const scan = await scanServer(run, server, loaded);
  progress.planned(scan.bytes);
  progress.phase(server, 'packs');
  const lost = await checkPacks(run, loaded, scan.packs);
  progress.phase(server, 'maps');
  await checkChunks(run, loaded, lost);
  await checkStrayObjects(run, scan.strays);
  progress.phase(server, 'wal');
  for (const incarnation of incarnationsOf(records.incarnations, loaded)) {
    await checkWal(run, { server, incarnation }, loaded.backups);
  }
}

function requireKnown({ options, ledger }: VerifyRun, server: string): void {
  const { backup } = options;
  if (ledger.mentions(`${server}/backup/${backup}/`)) return;
  throw new WalnutError('no-backup', `verify backup ${backup} of server ${server}: there is none`, {
    hint: `\`walnut list ${server}\` shows the backups there are.`,
  });
}

/** Those of the record, and those that only backups tell of when the record is damaged. */
function incarnationsOf(
  recorded: readonly Incarnation[],
  { backups }: LoadedBackups,
): Incarnation[] {
  const known = new Map(
    recorded.map((one) => [`${one.systemIdentifier}-${one.majorVersion}`, one]),
  );
  for (const { incarnation, walSegmentBytes } of backups) {
    if (known.has(incarnation)) continue;
    const [systemIdentifier = '', major = ''] = incarnation.split('-');
    const firstSeenAt = new Date(0).toISOString();
    const majorVersion = Number(major);
    known.set(incarnation, { systemIdentifier, majorVersion, walSegmentBytes, firstSeenAt });
  }
  return [...known.values()];
}
