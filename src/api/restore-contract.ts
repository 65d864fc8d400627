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
  /** Written. */
  readonly restoredBytes: number;
  /** With `--delta`: found right in the target and left as it was. */
  readonly keptBytes: number;
  /** Read from the repository. */
  readonly readBytes: number;
  /** With `--delta`: files, links and folders of the target that are not in the backup. */
  readonly deletedFiles: number;
  readonly durationMs: number;
  readonly wal: RestoreWal;
};

/** What `--delta` found in the target, and does with it. */
export type RestoreDeltaDocument = {
  /** `unfinished`: what an interrupted restore left. */
  readonly found: 'empty' | 'cluster' | 'unfinished';
  readonly comparedFiles: number;
  readonly comparedBytes: number;
  readonly deletedFiles: number;
  readonly deletedBytes: number;
  /** Absolute; the first 10000. */
  readonly deletes: readonly string[];
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
  /** Folders in which files may be overwritten. */
  readonly overwrites: readonly string[];
  /** Null without `--delta`. */
  readonly delta: RestoreDeltaDocument | null;
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

const restoreDelta = z.strictObject({
  found: z.enum(['empty', 'cluster', 'unfinished']),
  comparedFiles: count,
  comparedBytes: byteCount,
  deletedFiles: count,
  deletedBytes: byteCount,
  deletes: z.array(z.string()),
});

export const restoreDocument: z.ZodType<RestoreDocument> = z.strictObject({
  ...restored,
  restoredBytes: byteCount,
  keptBytes: byteCount,
  deletedFiles: count,
  durationMs: count,
});

export const restorePlanDocument: z.ZodType<RestorePlanDocument> = z.strictObject({
  ...restored,
  dryRun: z.literal(true),
  restoreBytes: byteCount,
  freeBytes: byteCount.nullable(),
  files: count,
  overwrites: z.array(z.string()),
  delta: restoreDelta.nullable(),
  settings: z.record(z.string(), z.string()),
  warnings: z.array(z.string()),
});
