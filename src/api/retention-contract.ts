/** The `--json` documents of `expire`, `delete`, `keep` and `compact`; the conventions are those of `contract.ts`. */
import { z } from 'zod';
import {
  backupId,
  byteCount,
  count,
  lsn,
  lsnRange,
  time,
  timeline,
  type LsnRange,
} from './contract-fields.ts';

type BackupType = 'full' | 'differential' | 'incremental';

type WindowDocument = LsnRange & { readonly from: string; readonly to: string };

export type WindowsDocument = {
  readonly before: readonly WindowDocument[];
  readonly after: readonly WindowDocument[];
};

/** What was stored by work that did not end, and that nothing refers to. */
export type LeftoversDocument = { readonly objects: number; readonly freedBytes: number };

export type ExpireDocument = {
  readonly server: string;
  readonly dryRun: boolean;
  /** Any moment from here on stays restorable, as far as it was; null when no retention rule is configured. */
  readonly windowBegin: string | null;
  /** Why nothing at all goes; null otherwise. */
  readonly heldBack: string | null;
  readonly backups: readonly {
    readonly id: string;
    readonly type: BackupType;
    readonly finishedAt: string;
    readonly action: 'keep' | 'delete';
    /** Why it stays: `window`, `window-base`, `full`, `daily`, …; empty when it goes. */
    readonly reasons: readonly string[];
    readonly freedBytes: number;
  }[];
  readonly wal: readonly {
    readonly incarnation: string;
    readonly timeline: number;
    readonly ranges: readonly LsnRange[];
    readonly objects: number;
    readonly freedBytes: number;
  }[];
  readonly leftovers: LeftoversDocument;
  readonly recoveryWindows: WindowsDocument;
  readonly freedBytes: number;
};

export type DeleteDocument = {
  readonly server: string;
  readonly dryRun: boolean;
  readonly backups: readonly {
    readonly id: string;
    readonly objects: number;
    readonly freedBytes: number;
  }[];
  /** Why their content stays for now; null when it goes with them. */
  readonly contentStays: string | null;
  readonly leftovers: LeftoversDocument;
  readonly recoveryWindows: WindowsDocument;
  readonly freedBytes: number;
};

export type KeepDocument = {
  readonly server: string;
  readonly backup: string;
  readonly kept: boolean;
  /** Null: for ever, or not kept. */
  readonly until: string | null;
};

export type CompactDocument = {
  readonly server: string;
  readonly dryRun: boolean;
  readonly thresholdPercent: number;
  readonly packs: readonly {
    readonly key: string;
    readonly storedBytes: number;
    readonly livePercent: number;
    readonly action: 'rewrite' | 'hold';
    /** Why it is left as it is; null when it is rewritten. */
    readonly reason: string | null;
  }[];
  /** Frames that could not be read back; they stay where they are. */
  readonly damaged: readonly {
    readonly key: string;
    readonly reason: string;
    /** Null: all of them. */
    readonly frames: readonly number[] | null;
    readonly backups: readonly string[];
  }[];
  /** Backups whose manifest has a new revision. */
  readonly backups: readonly { readonly id: string; readonly revision: number }[];
  readonly writtenBytes: number;
  readonly freedBytes: number;
};

const windows = z.array(
  z.strictObject({ timeline, from: time, to: time, fromLsn: lsn, toLsn: lsn }),
);
const recoveryWindows = z.strictObject({ before: windows, after: windows });
const leftovers = z.strictObject({ objects: count, freedBytes: byteCount });

export const expireDocument: z.ZodType<ExpireDocument> = z.strictObject({
  server: z.string(),
  dryRun: z.boolean(),
  windowBegin: time.nullable(),
  heldBack: z.string().nullable(),
  backups: z.array(
    z.strictObject({
      id: backupId,
      type: z.enum(['full', 'differential', 'incremental']),
      finishedAt: time,
      action: z.enum(['keep', 'delete']),
      reasons: z.array(z.string()),
      freedBytes: byteCount,
    }),
  ),
  wal: z.array(
    z.strictObject({
      incarnation: z.string(),
      timeline,
      ranges: z.array(lsnRange),
      objects: count,
      freedBytes: byteCount,
    }),
  ),
  leftovers,
  recoveryWindows,
  freedBytes: byteCount,
});

export const deleteDocument: z.ZodType<DeleteDocument> = z.strictObject({
  server: z.string(),
  dryRun: z.boolean(),
  backups: z.array(z.strictObject({ id: backupId, objects: count, freedBytes: byteCount })),
  contentStays: z.string().nullable(),
  leftovers,
  recoveryWindows,
  freedBytes: byteCount,
});

export const keepDocument: z.ZodType<KeepDocument> = z.strictObject({
  server: z.string(),
  backup: backupId,
  kept: z.boolean(),
  until: time.nullable(),
});

export const compactDocument: z.ZodType<CompactDocument> = z.strictObject({
  server: z.string(),
  dryRun: z.boolean(),
  thresholdPercent: z.number().min(0).max(100),
  packs: z.array(
    z.strictObject({
      key: z.string(),
      storedBytes: byteCount,
      livePercent: z.number().min(0).max(100),
      action: z.enum(['rewrite', 'hold']),
      reason: z.string().nullable(),
    }),
  ),
  damaged: z.array(
    z.strictObject({
      key: z.string(),
      reason: z.string(),
      frames: z.array(count).nullable(),
      backups: z.array(backupId),
    }),
  ),
  backups: z.array(z.strictObject({ id: backupId, revision: count })),
  writtenBytes: byteCount,
  freedBytes: byteCount,
});
