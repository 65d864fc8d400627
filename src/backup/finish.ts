/** The end of a backup: all its WAL is stored, then the manifest is, and with it the backup exists. */
import { WalnutError } from '../lib/walnut-error.ts';
import { parseControlFile } from '../postgres/cluster/control-file.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { backupKeys } from '../repository/layout.ts';
import { storeManifest, type Manifest } from '../repository/manifest.ts';
import { measurePack } from '../repository/pack-reader.ts';
import { warnOf, type BackupContext } from './backup-context.ts';
import type { BackupOutcome } from './backup-options.ts';
import type { CopiedCluster } from './copied-cluster.ts';
import { requireStandardSegments } from './admit-server.ts';
import { failingArchiver } from './failing-archiver.ts';
import { handOverWal } from './hand-over-wal.ts';
import { nameDamage } from './name-damage.ts';
import { waitForBackupWal } from './wal-wait.ts';

const FIRST_REVISION = 1;

export async function commitBackup(
  context: BackupContext,
  copied: CopiedCluster,
): Promise<BackupOutcome> {
  const { options, progress, connected, signal } = context;
  await waitForBackupWal({
    store: options.store,
    scope: { server: options.server, incarnation: connected.incarnation },
    timeline: copied.stopTimeline,
    startLsn: copied.startLsn,
    stopLsn: copied.stopLsn,
    timeoutMs: options.walTimeoutMs,
    hint: options.walSupply.hint,
    onWaiting: (arrived) => progress.waitingForWal(copied.stopLsn, arrived),
    bring: async (from) =>
      handOverWal(context, { timeline: copied.stopTimeline, from, to: copied.stopLsn }),
    signal,
  });
  if (options.walSupply.isArchiver && connected.sqlRefusal === null) {
    const problem = await failingArchiver(connected.session);
    if (problem !== null) warnOf(context)(problem);
  }
  const manifest = await describeBackup(context, copied);
  await commit(context, manifest);
  return { id: copied.id, manifest };
}

/**
 * Checked before and after: the lease is still ours, and every pack and map chunk is still there, also of earlier backups. A backup stored by one who had lost
 * the lease may refer to what another has just deleted, so it is withdrawn.
 */
async function commit({ options, lease }: BackupContext, manifest: Manifest): Promise<void> {
  const { store, server } = options;
  const { id } = manifest;
  await requireObjects(options, manifest);
  if (!(await lease.isHeld())) throw leaseLost(server, id);
  const key = await storeManifest(store, manifest, FIRST_REVISION);
  try {
    if (!(await lease.isHeld())) throw leaseLost(server, id);
    await requireObjects(options, manifest);
  } catch (error) {
    await store.delete(key);
    throw error;
  }
}

async function requireObjects(
  { store }: BackupContext['options'],
  manifest: Manifest,
): Promise<void> {
  for (const { key, storedBytes } of [...manifest.packs, ...manifest.chunks]) {
    const info = await store.stat(key);
    if (info === null || info.sizeBytes !== storedBytes) {
      throw new WalnutError(
        'object-missing',
        `commit backup ${manifest.id}: ${key} is missing or cut`,
        {
          hint: 'Something else changes this repository; find it, then take the backup again.',
        },
      );
    }
  }
}

async function describeBackup(context: BackupContext, copied: CopiedCluster): Promise<Manifest> {
  const { options, connected, source, startedMs } = context;
  const { id, ground } = copied;
  const { facts } = connected;
  const control = parseControlFile(copied.controlFile);
  requireStandardSegments(control);
  const damage = await nameDamage(copied.damage, options.connection, facts);
  const ownFolder = backupKeys.folder(options.server, id);
  const ownChunks = copied.chunks.filter(({ key }) => key.startsWith(ownFolder));
  const storedBytes = [...copied.packs, ...ownChunks].reduce(
    (sum, part) => sum + part.storedBytes,
    0,
  );
  return {
    version: 1,
    id,
    type: ground.type,
    server: options.server,
    name: options.name,
    parent: ground.parent?.id ?? null,
    source: source.kind,
    changeSource: ground.changeSource,
    fromStandby: copied.fromStandby,
    walnutVersion: options.walnutVersion,
    systemIdentifier: String(connected.systemIdentifier),
    majorVersion: connected.majorVersion,
    serverVersionNum: connected.serverVersionNum,
    timeline: copied.timeline,
    startLsn: formatLsn(copied.startLsn),
    stopLsn: formatLsn(copied.stopLsn),
    stopTimeline: copied.stopTimeline,
    startedAt: copied.startedAt.toISOString(),
    finishedAt: copied.finishedAt.toISOString(),
    durationMs: Date.now() - startedMs,
    cluster: {
      blockBytes: control.blockSize,
      segmentBlocks: control.relationSegmentBlocks,
      walSegmentBytes: control.walSegmentBytes,
      dataChecksumVersion: control.dataChecksumVersion,
      dataDirectory: facts.dataDirectory,
      dataDirectoryMode: facts.dataDirectoryMode,
    },
    controlFile: copied.controlFile.toString('base64'),
    backupLabel: copied.backupLabel.toString('base64'),
    tablespaceMap: copied.tablespaceMap.toString('base64'),
    settings: facts.settings,
    tablespaces: [...copied.tablespaces],
    databases: facts.databases === null ? null : [...facts.databases],
    externalFiles: [...copied.externalFiles],
    totals: {
      ...copied.totals,
      storedBytes,
      damagedPages: damage.length,
    },
    damage,
    warnings: context.warnings,
    chunks: [...copied.chunks],
    packs: await describePacks(options.store, copied),
  };
}

/** Every pack the map refers to; what is not known of one from its own writing or the earlier manifest is read from it. */
async function describePacks(
  store: BackupContext['options']['store'],
  { packs, ground, livePlainBytes }: CopiedCluster,
): Promise<Manifest['packs']> {
  const known = new Map<string, { readonly storedBytes: number; readonly plainBytes: number }>();
  for (const pack of ground.earlier?.packs ?? []) known.set(pack.key, pack);
  for (const pack of packs) known.set(pack.key, pack);
  const described: Manifest['packs'] = [];
  for (const [key, bytes] of [...livePlainBytes].toSorted(([one], [other]) =>
    one < other ? -1 : 1,
  )) {
    const { storedBytes, plainBytes } = known.get(key) ?? (await measurePack(store, key));
    described.push({ key, storedBytes, plainBytes, livePlainBytes: bytes });
  }
  return described;
}

function leaseLost(server: string, id: string): WalnutError {
  return new WalnutError('locked', `commit backup ${id} of server ${server}: the lease was lost`, {
    hint: `The backup was withdrawn. See who else works on ${backupKeys.all(server)}, then take it again.`,
  });
}
