/** The `--json` documents of `restore`; the conventions are those of `contract.ts`. */
import { z } from 'zod';
import { backupId, byteCount, count, lsn, segment, timeline } from './contract-fields.ts';

type RecoveryTargetKind = 'latest' | 'immediate' | 'time' | 'lsn' | 'xid' | 'name';

export type RecoveryTargetDocument = {
  readonly kind: RecoveryTargetKind;
  /** As PostgreSQL's setting holds it; null for `latest` and `immediate`. */
  readonly value: string | null;
  readonly inclusive: boolean;
  /** Where the plan expects recovery to end; null when only replay can tell. */
  readonly lsn: string | null;
};

export type RestoreWal = {
  readonly mode: 'fetch' | 'copy';
  readonly firstSegment: string | null;
  readonly lastSegment: string | null;
  readonly segments: number;
};

export type RestoreDocument = {
  readonly server: string;
  readonly backup: string;
  /** The folder that holds the restored cluster. */
  readonly target: string;
  readonly recoveryTarget: RecoveryTargetDocument;
  readonly timeline: number;
  readonly restoredBytes: number;
  readonly readBytes: number;
  readonly durationMs: number;
  readonly wal: RestoreWal;
};

/** `restore --dry-run --json`. */
export type RestorePlanDocument = {
  readonly dryRun: true;
  readonly server: string;
  readonly backup: string;
  readonly target: string;
  readonly recoveryTarget: RecoveryTargetDocument;
  readonly timeline: number;
  readonly restoreBytes: number;
  readonly readBytes: number;
  readonly freeBytes: number | null;
  readonly files: number;
  readonly wal: RestoreWal;
  readonly overwrites: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
};

const recoveryTarget = z.strictObject({
  kind: z.enum(['latest', 'immediate', 'time', 'lsn', 'xid', 'name']),
  value: z.string().nullable(),
  inclusive: z.boolean(),
  lsn: lsn.nullable(),
});

const restoreWal = z.strictObject({
  mode: z.enum(['fetch', 'copy']),
  firstSegment: segment.nullable(),
  lastSegment: segment.nullable(),
  segments: count,
});

const restored = {
  server: z.string(),
  backup: backupId,
  target: z.string(),
  recoveryTarget,
  timeline,
  readBytes: byteCount,
  wal: restoreWal,
};

export const restoreDocument: z.ZodType<RestoreDocument> = z.strictObject({
  ...restored,
  restoredBytes: byteCount,
  durationMs: count,
});

export const restorePlanDocument: z.ZodType<RestorePlanDocument> = z.strictObject({
  ...restored,
  dryRun: z.literal(true),
  restoreBytes: byteCount,
  freeBytes: byteCount.nullable(),
  files: count,
  overwrites: z.array(z.string()),
  settings: z.record(z.string(), z.string()),
  warnings: z.array(z.string()),
});
