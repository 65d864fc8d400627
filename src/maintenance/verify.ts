/** Reads back and checks what a repository holds: every object, and that what manifests name is there. */
import { recordKnownDamage } from '../catalog/known-damage.ts';
import { withReader } from '../catalog/readers.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { DESCRIPTOR_KEY } from '../repository/layout.ts';
import {
  listBackupIds,
  listServers,
  readDescriptor,
  type Incarnation,
} from '../repository/repository.ts';
import { CheckLanes } from './check-lanes.ts';
import { checkChunks, checkPacks, checkStrayObjects } from './check-backups.ts';
import { checkRecords } from './check-records.ts';
import { checkWal } from './check-wal.ts';
import { DamageLedger } from './damage-ledger.ts';
import { faultOf } from './fault.ts';
import { loadBackups, type LoadedBackups } from './load-backups.ts';
import type { LostFrames } from './check-map.ts';
import { planSample, type CheckSample } from './check-sample.ts';
import { scanServer, type ServerScan } from './scan-server.ts';
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
  const { store, jobs, servers } = options;
  const ledger = new DamageLedger(progress.damageFound);
  const lanes = new CheckLanes({ store, jobs, signal });
  const run: VerifyRun = {
    options,
    progress,
    signal,
    ledger,
    lanes,
    takes: () => true,
    counts: { objects: 0, bytes: 0 },
    unexpected: [],
  };
  try {
    await checkDescriptor(run);
    for (const server of servers) {
      const backups = await listBackupIds(store, server);
      const reading = { server, backups, command: 'verify' };
      await withReader(store, reading, async () => checkServer(run, server));
    }
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

async function checkServer(whole: VerifyRun, server: string): Promise<void> {
  const { options, progress, ledger, counts } = whole;
  const { store, backup: only } = options;
  progress.phase(server, 'backups');
  const records = await checkRecords(whole, server);
  const loaded = await loadBackups(store, { server, only, ledger });
  counts.objects += loaded.objects;
  counts.bytes += loaded.bytes;
  if (only !== null && loaded.backups.length === 0) requireKnown(whole, server);
  const ids = loaded.backups.map(({ id }) => id);
  ledger.hit(DESCRIPTOR_KEY, ids);
  for (const key of records.damagedKeys) ledger.hit(key, ids);
  const scan = await scanServer(whole, server, loaded);
  const { samplePercent: percent, now } = options;
  const drawn = only === null ? null : new Set(scan.packs.keys());
  const sample = await planSample(store, server, { percent, only: drawn, now });
  const run = { ...whole, takes: sample.takes };
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
  await remember(run, server, { loaded, scan, lost, sample });
}

type Checked = {
  readonly loaded: LoadedBackups;
  readonly scan: ServerScan;
  readonly lost: ReadonlyMap<string, LostFrames>;
  readonly sample: CheckSample;
};

/** What was checked and what is damaged; a repository that cannot be written is verified all the same. */
async function remember(
  { options, ledger }: VerifyRun,
  server: string,
  { loaded, scan, lost, sample }: Checked,
): Promise<void> {
  const { store } = options;
  const chunks = [...loaded.chunks.keys()].filter((key) => ledger.has(key));
  const damaged = new Map([...lost, ...chunks.map((key): [string, LostFrames] => [key, 'all'])]);
  const isGone = (key: string): boolean =>
    options.backup === null && !scan.packs.has(key) && !loaded.packs.has(key);
  const wasReadWhole = (key: string): boolean =>
    loaded.chunks.has(key) || (scan.packs.has(key) && sample.takes(key)) || isGone(key);
  try {
    await recordKnownDamage(store, server, { damaged, wasReadWhole });
    await sample.record();
  } catch (error) {
    if (!hasCode(error, 'disk-full', 'permission', 'storage')) throw error;
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
