/** The `--json` documents of `restore`, out of the engine's plan and result. */
import type {
  RecoveryTargetDocument,
  RestoreDocument,
  RestorePlanDocument,
  RestoreWal,
} from '../api/restore-contract.ts';
import { formatLsn } from '../postgres/lsn.ts';
import type { RestorePlan } from '../restore/plan.ts';
import type { RestoreResult } from '../restore/restore.ts';

export function restoreDocumentOf(result: RestoreResult): RestoreDocument {
  const { plan, restoredBytes, readBytes, durationMs } = result;
  return { ...commonFields(plan), restoredBytes, readBytes, durationMs };
}

export function restorePlanDocumentOf(plan: RestorePlan): RestorePlanDocument {
  const { content, room, settings, warnings } = plan;
  return {
    ...commonFields(plan),
    dryRun: true,
    restoreBytes: content.restoreBytes,
    readBytes: content.readBytes,
    freeBytes: room.length === 0 ? null : Math.min(...room.map(({ freeBytes }) => freeBytes)),
    files: content.files,
    // Only empty folders are accepted, so nothing is ever overwritten.
    overwrites: [],
    settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
    warnings: [...warnings],
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
