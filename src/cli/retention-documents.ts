import { contractTime } from '../api/contract-fields.ts';
import type {
  CompactDocument,
  DeleteDocument,
  ExpireDocument,
  LeftoversDocument,
  WindowsDocument,
} from '../api/retention-contract.ts';
import { namesOf, sizeOf, type NamedObject } from '../catalog/backup-deletion.ts';
import type { PlannedArchive } from '../catalog/retention-plan.ts';
import type { CompactOutcome } from '../maintenance/compact.ts';
import { shareOf } from '../maintenance/compaction-plan.ts';
import type { DeleteOutcome } from '../maintenance/delete-backups.ts';
import type { ExpireOutcome } from '../maintenance/expire.ts';
import type { WindowChange } from '../maintenance/window-change.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { listedWindowOf } from './list-documents.ts';

type Circumstances = { readonly server: string; readonly dryRun: boolean };

export function expireDocumentOf(
  { plan, windows, freedBytes }: ExpireOutcome,
  dryRun: boolean,
): ExpireDocument {
  const freed = new Map(plan.deletions.map((deletion) => [deletion.id, deletion.freedBytes]));
  return {
    server: plan.server,
    dryRun,
    windowBegin: plan.windowBegin === null ? null : contractTime(plan.windowBegin),
    heldBack: plan.heldBack,
    backups: plan.backups.map(({ backup, reasons }) => ({
      id: backup.id,
      type: backup.manifest.type,
      finishedAt: contractTime(backup.finishedAt),
      action: freed.has(backup.id) ? 'delete' : 'keep',
      reasons,
      freedBytes: freed.get(backup.id) ?? 0,
    })),
    wal: plan.archives.flatMap(expiringTimelines),
    leftovers: leftoversOf(plan.leftovers),
    recoveryWindows: windowsOf(windows),
    freedBytes,
  };
}

export function deleteDocumentOf(
  { plan, windows, freedBytes, contentStays }: DeleteOutcome,
  { server, dryRun }: Circumstances,
): DeleteDocument {
  return {
    server,
    dryRun,
    backups: plan.backups.map((deletion) => ({
      id: deletion.id,
      objects: namesOf(deletion).length,
      freedBytes: deletion.freedBytes,
    })),
    contentStays,
    leftovers: leftoversOf(plan.leftovers),
    recoveryWindows: windowsOf(windows),
    freedBytes,
  };
}

export function compactDocumentOf(
  { packs, damaged, revisions, writtenBytes, freedBytes }: CompactOutcome,
  circumstances: Circumstances & { readonly thresholdPercent: number },
): CompactDocument {
  return {
    ...circumstances,
    packs: packs.map((pack) => ({
      key: pack.key,
      storedBytes: pack.storedBytes,
      livePercent: shareOf(pack) * 100,
      action: pack.heldBack === null ? 'rewrite' : 'hold',
      reason: pack.heldBack,
    })),
    damaged: damaged.map(({ key, reason, frames, backups }) => {
      return { key, reason, frames: frames === 'all' ? null : frames, backups };
    }),
    backups: [...revisions].map(([id, revision]) => ({ id, revision })),
    writtenBytes,
    freedBytes,
  };
}

export function expiringTimelines({
  inventory,
  objects,
  ranges,
}: PlannedArchive): ExpireDocument['wal'][number][] {
  const groups = Map.groupBy(objects, ({ parsed }) => parsed.timeline);
  return [...groups].map(([timeline, own]) => ({
    incarnation: inventory.name,
    timeline,
    ranges: ranges
      .filter((range) => range.timeline === timeline)
      .map(({ start, end }) => ({ timeline, fromLsn: formatLsn(start), toLsn: formatLsn(end) })),
    objects: own.length,
    freedBytes: sizeOf(own),
  }));
}

function leftoversOf(objects: readonly NamedObject[]): LeftoversDocument {
  return { objects: objects.length, freedBytes: sizeOf(objects) };
}

function windowsOf({ before, after }: WindowChange): WindowsDocument {
  return { before: before.map(listedWindowOf), after: after.map(listedWindowOf) };
}
