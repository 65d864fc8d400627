import type {
  ListedBackup,
  ListedServer,
  RecoveryWindow as ListedWindow,
  ShowDocument,
} from '../api/contract.ts';
import { contractTime } from '../api/contract-fields.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import type { RecoveryWindow } from '../catalog/recovery-window.ts';
import { parseBackupLabel } from '../postgres/cluster/backup-label.ts';
import { formatLsn } from '../postgres/lsn.ts';
import type { ServerContents } from './list-server.ts';

export function listedServerOf(contents: ServerContents): ListedServer {
  const { name, present, incarnations, backups } = contents;
  return {
    name,
    systemIdentifier: present?.systemIdentifier ?? null,
    majorVersion: present?.majorVersion ?? null,
    backups: backups.map((backup) => listedBackupOf(contents, backup)),
    recoveryWindows: incarnations.flatMap(({ windows }) => windows.map(listedWindowOf)),
    gaps: incarnations.flatMap(({ gaps }) =>
      gaps.map(({ timeline, start, end }) => ({
        timeline,
        fromLsn: formatLsn(start),
        toLsn: formatLsn(end),
      })),
    ),
  };
}

export function showDocumentOf(
  contents: Pick<ServerContents, 'name' | 'kept'>,
  backup: BackupRecord,
): ShowDocument {
  const { manifest } = backup;
  const { totals, cluster } = manifest;
  return {
    ...listedBackupOf(contents, backup),
    server: contents.name,
    name: manifest.name,
    source: manifest.source,
    changeSource: manifest.changeSource,
    systemIdentifier: manifest.systemIdentifier,
    serverVersion: manifest.settings['server_version'] ?? versionText(manifest.serverVersionNum),
    checkpointLsn: checkpointLsn(manifest),
    dataChecksums: cluster.dataChecksumVersion > 0,
    walSegmentBytes: cluster.walSegmentBytes,
    files: totals.files,
    pages: totals.pages,
    packs: manifest.packs.length,
    tablespaces: manifest.tablespaces,
    databases: manifest.databases,
    settings: manifest.settings,
    damage: manifest.damage,
    warnings: manifest.warnings,
  };
}

function listedBackupOf(
  { kept }: Pick<ServerContents, 'kept'>,
  { id, manifest, damaged, finishedAt }: BackupRecord,
): ListedBackup {
  return {
    id,
    type: manifest.type,
    parent: manifest.parent,
    startedAt: contractTime(new Date(manifest.startedAt)),
    finishedAt: contractTime(finishedAt),
    startLsn: manifest.startLsn,
    stopLsn: manifest.stopLsn,
    timeline: manifest.timeline,
    clusterBytes: manifest.totals.clusterBytes,
    storedBytes: manifest.totals.storedBytes,
    damaged,
    kept: kept.has(id),
  };
}

function listedWindowOf({ timeline, from, to, fromLsn, toLsn }: RecoveryWindow): ListedWindow {
  return {
    timeline,
    from: contractTime(from),
    to: contractTime(to),
    fromLsn: formatLsn(fromLsn),
    toLsn: formatLsn(toLsn),
  };
}

function checkpointLsn({ backupLabel }: BackupRecord['manifest']): string {
  return formatLsn(parseBackupLabel(Buffer.from(backupLabel, 'base64')).checkpointLsn);
}

/** `180004` as `18.4`. */
function versionText(serverVersionNum: number): string {
  return `${Math.floor(serverVersionNum / 10_000)}.${serverVersionNum % 10_000}`;
}
