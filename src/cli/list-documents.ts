import type {
  ListedBackup,
  ListedGap,
  ListedServer,
  RecoveryWindow as ListedWindow,
  ShowDocument,
} from '../api/contract.ts';
import { contractTime } from '../api/contract-fields.ts';
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import type { RecoveryWindow } from '../catalog/recovery-window.ts';
import type { KeepMark } from '../catalog/keep-mark.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
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
    gaps: incarnations.flatMap(({ gaps, plannedGaps }) => [
      ...gaps.map((gap) => listedGapOf(gap, false)),
      ...plannedGaps.map((gap) => listedGapOf(gap, true)),
    ]),
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
    keptUntil: keptUntilOf(contents.kept.get(backup.id)),
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

function keptUntilOf(mark: KeepMark | undefined): string | null {
  return mark === undefined || mark.until === null ? null : contractTime(mark.until);
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

function listedGapOf({ timeline, start, end }: LsnRange, planned: boolean): ListedGap {
  return { timeline, fromLsn: formatLsn(start), toLsn: formatLsn(end), planned };
}

export function listedWindowOf({
  timeline,
  from,
  to,
  fromLsn,
  toLsn,
}: RecoveryWindow): ListedWindow {
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
