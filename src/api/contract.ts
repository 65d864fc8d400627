/**
 * The documents that `--json` prints, one schema each. Field names are camelCase with the unit last; LSNs are
 * PostgreSQL's text, system identifiers and transaction ids strings, times RFC 3339 in UTC with milliseconds, sizes
 * numbers of bytes, what is absent null. Every schema is strict: a field that is not listed here is a mistake.
 * The user interface imports the types of this file, so it imports nothing but zod.
 */
import { z } from 'zod';
import {
  backupId,
  byteCount,
  count,
  lsn,
  systemIdentifier,
  time,
  timeline,
  type LsnRange,
} from './contract-fields.ts';
import { restoreDocument, type RestoreDocument } from './restore-contract.ts';

type BackupType = 'full' | 'differential' | 'incremental';
type BackupSource = 'local' | 'connection' | 'stream';
/** Where a backup learnt which pages changed; null for a full backup. */
type ChangeSource = 'archive' | 'summaries' | 'compare';

type PageDamage = {
  readonly file: string;
  readonly block: number;
  /** `database.schema.relation` when the catalogue could be asked. */
  readonly relation: string | null;
};

export type BackupDocument = {
  readonly id: string;
  readonly type: BackupType;
  readonly server: string;
  readonly parent: string | null;
  readonly source: BackupSource;
  readonly changeSource: ChangeSource | null;
  readonly timeline: number;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly durationMs: number;
  readonly clusterBytes: number;
  readonly readBytes: number;
  readonly storedBytes: number;
  readonly files: number;
  readonly changedFiles: number;
  readonly pages: number;
  readonly changedPages: number;
  readonly damagedPages: number;
  readonly damage: readonly PageDamage[];
  readonly warnings: readonly string[];
};

export type RecoveryWindow = LsnRange & { readonly from: string; readonly to: string };

export type ListedBackup = {
  readonly id: string;
  readonly type: BackupType;
  readonly parent: string | null;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly timeline: number;
  readonly clusterBytes: number;
  readonly storedBytes: number;
  readonly damaged: boolean;
  readonly kept: boolean;
};

export type ListedServer = {
  readonly name: string;
  /** Null, as `majorVersion`, until the server was seen for the first time. */
  readonly systemIdentifier: string | null;
  readonly majorVersion: number | null;
  readonly backups: readonly ListedBackup[];
  readonly recoveryWindows: readonly RecoveryWindow[];
  readonly gaps: readonly ListedGap[];
};

export type ListedGap = LsnRange & {
  /** Given up by retention, not lost. */
  readonly planned: boolean;
};

export type ListDocument = { readonly servers: readonly ListedServer[] };

export type ShowDocument = ListedBackup & {
  readonly server: string;
  readonly name: string | null;
  /** Null: for ever, or not kept. */
  readonly keptUntil: string | null;
  readonly source: BackupSource;
  readonly changeSource: ChangeSource | null;
  readonly systemIdentifier: string;
  readonly serverVersion: string;
  readonly checkpointLsn: string;
  readonly dataChecksums: boolean;
  readonly walSegmentBytes: number;
  readonly files: number;
  readonly pages: number;
  readonly packs: number;
  readonly tablespaces: readonly {
    readonly oid: number;
    readonly name: string | null;
    readonly location: string;
  }[];
  readonly databases: readonly { readonly oid: number; readonly name: string }[] | null;
  readonly settings: Readonly<Record<string, string>>;
  readonly damage: readonly PageDamage[];
  readonly warnings: readonly string[];
};

export type VerifyDocument = {
  readonly checkedObjects: number;
  readonly checkedBytes: number;
  readonly damaged: readonly {
    readonly key: string;
    readonly reason: string;
    readonly backups: readonly string[];
    /** What is lost with the object, for people: files, WAL ranges. */
    readonly affects: readonly string[];
  }[];
};

export type CheckFinding = {
  readonly name: string;
  readonly passed: boolean;
  readonly detail: string;
  /** What to type or change; null when the check passed. */
  readonly fix: string | null;
};

export type CheckDocument = {
  readonly passed: boolean;
  readonly servers: readonly {
    readonly server: string;
    readonly passed: boolean;
    readonly checks: readonly CheckFinding[];
  }[];
};

export type DemoDocument = {
  readonly passed: boolean;
  readonly postgresVersion: string;
  readonly backup: BackupDocument;
  readonly restore: RestoreDocument;
  readonly rowsBefore: number;
  readonly rowsAfter: number;
  readonly checksumBefore: string;
  readonly checksumAfter: string;
  readonly lostTransactions: number;
};

export type InitDocument = {
  readonly configFile: string;
  readonly configWritten: boolean;
  readonly repository: {
    readonly name: string;
    readonly url: string;
    readonly created: boolean;
  };
  readonly server: string;
  readonly slot: { readonly name: string; readonly created: boolean } | null;
  readonly newIncarnation: boolean;
  /** What the server still needs, ready to paste. */
  readonly missing: readonly {
    readonly kind: 'sql' | 'pg_hba.conf' | 'setting' | 'other';
    readonly text: string;
    readonly reason: string;
  }[];
};

export type CompletionDocument = {
  readonly shell: 'bash' | 'zsh' | 'fish';
  readonly script: string;
};

export type ErrorDocument = {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
    readonly cause: string | null;
  };
};

const backupType = z.enum(['full', 'differential', 'incremental']);
const backupSource = z.enum(['local', 'connection', 'stream']);
const changeSource = z.enum(['archive', 'summaries', 'compare']).nullable();
const damage = z.array(
  z.strictObject({ file: z.string(), block: count, relation: z.string().nullable() }),
);
const strings = z.array(z.string());

export const backupDocument: z.ZodType<BackupDocument> = z.strictObject({
  id: backupId,
  type: backupType,
  server: z.string(),
  parent: backupId.nullable(),
  source: backupSource,
  changeSource,
  timeline,
  startLsn: lsn,
  stopLsn: lsn,
  startedAt: time,
  finishedAt: time,
  durationMs: count,
  clusterBytes: byteCount,
  readBytes: byteCount,
  storedBytes: byteCount,
  files: count,
  changedFiles: count,
  pages: count,
  changedPages: count,
  damagedPages: count,
  damage,
  warnings: strings,
});

const listedBackup = {
  id: backupId,
  type: backupType,
  parent: backupId.nullable(),
  startedAt: time,
  finishedAt: time,
  startLsn: lsn,
  stopLsn: lsn,
  timeline,
  clusterBytes: byteCount,
  storedBytes: byteCount,
  damaged: z.boolean(),
  kept: z.boolean(),
};

export const listDocument: z.ZodType<ListDocument> = z.strictObject({
  servers: z.array(
    z.strictObject({
      name: z.string(),
      systemIdentifier: systemIdentifier.nullable(),
      majorVersion: count.nullable(),
      backups: z.array(z.strictObject(listedBackup)),
      recoveryWindows: z.array(
        z.strictObject({ timeline, from: time, to: time, fromLsn: lsn, toLsn: lsn }),
      ),
      gaps: z.array(z.strictObject({ timeline, fromLsn: lsn, toLsn: lsn, planned: z.boolean() })),
    }),
  ),
});

export const showDocument: z.ZodType<ShowDocument> = z.strictObject({
  ...listedBackup,
  server: z.string(),
  name: z.string().nullable(),
  keptUntil: time.nullable(),
  source: backupSource,
  changeSource,
  systemIdentifier,
  serverVersion: z.string(),
  checkpointLsn: lsn,
  dataChecksums: z.boolean(),
  walSegmentBytes: byteCount,
  files: count,
  pages: count,
  packs: count,
  tablespaces: z.array(
    z.strictObject({ oid: count, name: z.string().nullable(), location: z.string() }),
  ),
  databases: z.array(z.strictObject({ oid: count, name: z.string() })).nullable(),
  settings: z.record(z.string(), z.string()),
  damage,
  warnings: strings,
});

export const verifyDocument: z.ZodType<VerifyDocument> = z.strictObject({
  checkedObjects: count,
  checkedBytes: byteCount,
  damaged: z.array(
    z.strictObject({ key: z.string(), reason: z.string(), backups: strings, affects: strings }),
  ),
});

export const checkDocument: z.ZodType<CheckDocument> = z.strictObject({
  passed: z.boolean(),
  servers: z.array(
    z.strictObject({
      server: z.string(),
      passed: z.boolean(),
      checks: z.array(
        z.strictObject({
          name: z.string(),
          passed: z.boolean(),
          detail: z.string(),
          fix: z.string().nullable(),
        }),
      ),
    }),
  ),
});

export const demoDocument: z.ZodType<DemoDocument> = z.strictObject({
  passed: z.boolean(),
  postgresVersion: z.string(),
  backup: backupDocument,
  restore: restoreDocument,
  rowsBefore: count,
  rowsAfter: count,
  checksumBefore: z.string(),
  checksumAfter: z.string(),
  lostTransactions: count,
});

export const initDocument: z.ZodType<InitDocument> = z.strictObject({
  configFile: z.string(),
  configWritten: z.boolean(),
  repository: z.strictObject({ name: z.string(), url: z.string(), created: z.boolean() }),
  server: z.string(),
  slot: z.strictObject({ name: z.string(), created: z.boolean() }).nullable(),
  newIncarnation: z.boolean(),
  missing: z.array(
    z.strictObject({
      kind: z.enum(['sql', 'pg_hba.conf', 'setting', 'other']),
      text: z.string(),
      reason: z.string(),
    }),
  ),
});

export const completionDocument: z.ZodType<CompletionDocument> = z.strictObject({
  shell: z.enum(['bash', 'zsh', 'fish']),
  script: z.string(),
});

export const errorDocument: z.ZodType<ErrorDocument> = z.strictObject({
  error: z.strictObject({
    code: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
    cause: z.string().nullable(),
  }),
});
