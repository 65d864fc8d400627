/** The `--json` documents of `restore`, out of the engine's plan and result. */
import type {
  RecoveryTargetDocument,
  RestoreDeltaDocument,
  RestoreDocument,
  RestorePlanDocument,
  RestoreWal,
} from '../api/restore-contract.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { rootFolders } from '../restore/locations.ts';
import type { PlannedDelta } from '../restore/plan-delta.ts';
import type { RestorePlan } from '../restore/plan.ts';
import type { RestoreResult } from '../restore/restore.ts';

/** A document stays readable; the number of all of them stands beside the names. */
const NAMED_DELETIONS_MAX = 10_000;

export function restoreDocumentOf(result: RestoreResult): RestoreDocument {
  const { plan, restoredBytes, keptBytes, readBytes, durationMs } = result;
  const deletedFiles = plan.delta?.removals.count ?? 0;
  return {
    ...commonFields(plan),
    restoredBytes,
    keptBytes,
    readBytes,
    deletedFiles,
    durationMs,
  };
}

export function restorePlanDocumentOf(plan: RestorePlan): RestorePlanDocument {
  const { content, delta, locations, room, settings, warnings } = plan;
  return {
    ...commonFields(plan),
    dryRun: true,
    restoreBytes: content.restoreBytes,
    readBytes: content.readBytes,
    freeBytes: room.length === 0 ? null : Math.min(...room.map(({ freeBytes }) => freeBytes)),
    files: content.files,
    // Without a delta only empty folders are accepted.
    overwrites: delta === null || delta.target.kind === 'empty' ? [] : rootFolders(locations),
    delta: delta === null ? null : deltaDocumentOf(delta),
    settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
    warnings: [...warnings],
  };
}

function deltaDocumentOf({
  target,
  comparedFiles,
  comparedBytes,
  removals,
}: PlannedDelta): RestoreDeltaDocument {
  return {
    found: target.kind,
    comparedFiles,
    comparedBytes,
    deletedFiles: removals.count,
    deletedBytes: removals.bytes,
    deletes: removals.first(NAMED_DELETIONS_MAX).map(({ place }) => place),
  };
}

/** The value of the one recovery target that is set; null for the end of WAL. */
export function targetValueOf({ settings }: Pick<RestorePlan, 'settings'>): string | null {
  const names = /^recovery_target(_time|_lsn|_xid|_name)?$/;
  const set = settings.findLast(({ name, value }) => names.test(name) && value !== '');
  return set?.value ?? null;
}

function commonFields(plan: RestorePlan): {
  server: string;
  backup: string;
  target: string;
  recoveryTarget: RecoveryTargetDocument;
  timeline: number;
  wal: RestoreWal;
} {
  const { request, backup, locations, end, order, wal } = plan;
  const { kind } = request.target;
  const isNamed = kind !== 'latest' && kind !== 'immediate';
  const { mode, firstSegment, lastSegment, segments } = wal;
  return {
    server: request.server,
    backup: backup.id,
    target: locations.dataDirectory,
    recoveryTarget: {
      kind,
      value: isNamed ? targetValueOf(plan) : null,
      inclusive: 'inclusive' in order.target ? order.target.inclusive : true,
      lsn: formatLsn(end.recordLsn),
    },
    timeline: end.timeline,
    wal: { mode, firstSegment, lastSegment, segments: segments.length },
  };
}
