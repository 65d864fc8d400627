/** The `--json` documents of the `wal` commands; the conventions are those of `contract.ts`. */
import { z } from 'zod';
import {
  byteCount,
  count,
  lsn,
  segment,
  systemIdentifier,
  time,
  timeline,
} from './contract-fields.ts';
import { lsnRange, type LsnRange } from './contract-fields.ts';

type WalTimelineStatus = {
  readonly timeline: number;
  readonly segments: number;
  readonly storedBytes: number;
  readonly firstSegment: string | null;
  readonly lastSegment: string | null;
  readonly ranges: readonly { readonly fromLsn: string; readonly toLsn: string }[];
};

export type WalSlotStatus = {
  readonly name: string;
  readonly exists: boolean;
  /** Null, as the state, over replication connections only. */
  readonly active: boolean | null;
  readonly restartLsn: string | null;
  /** `pg_replication_slots.wal_status`: reserved, extended, unreserved or lost. */
  readonly walStatus: string | null;
  /** WAL that the server keeps because of the slot. */
  readonly retainedBytes: number | null;
};

export type WalServerStatus = {
  readonly server: string;
  readonly systemIdentifier: string | null;
  readonly timelines: readonly WalTimelineStatus[];
  readonly gaps: readonly LsnRange[];
  /** Null, as the lags, when the server could not be asked; `error` says why. */
  readonly serverLsn: string | null;
  readonly storedLsn: string | null;
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  /** Null as well over replication connections only, before version 15. */
  readonly slot: WalSlotStatus | null;
  readonly error: string | null;
};

export type WalStatusDocument = { readonly servers: readonly WalServerStatus[] };

export type WalSwitchDocument = {
  readonly server: string;
  readonly lsn: string;
  readonly segment: string;
  /** True when the switched segment was seen in the repository. */
  readonly stored: boolean;
};

export type WalSlotDocument = {
  readonly server: string;
  readonly slot: string;
  readonly outcome: 'created' | 'existed' | 'dropped' | 'missing';
  readonly restartLsn: string | null;
};

export type WalPushDocument = {
  readonly server: string;
  readonly file: string;
  readonly outcome: 'stored' | 'existed';
  readonly bytes: number;
};

export type WalFetchDocument = {
  readonly server: string;
  readonly name: string;
  readonly destination: string;
  readonly source: 'segment' | 'partial' | 'pieces' | 'spool' | 'history';
  readonly bytes: number;
};

type ReceiveEventBase = { readonly at: string; readonly server: string };

/** `wal receive --json` prints one of these per line. */
export type WalReceiveEvent =
  | (ReceiveEventBase & {
      readonly event: 'streaming';
      readonly slot: string;
      readonly timeline: number;
      readonly startLsn: string;
    })
  | (ReceiveEventBase & {
      readonly event: 'segment-stored';
      readonly timeline: number;
      readonly segment: string;
      readonly bytes: number;
      readonly storedBytes: number;
      readonly lagBytes: number | null;
    })
  | (ReceiveEventBase & {
      readonly event: 'piece-stored';
      readonly timeline: number;
      readonly segment: string;
      readonly offset: number;
      readonly bytes: number;
    })
  | (ReceiveEventBase & { readonly event: 'history-stored'; readonly timeline: number })
  | (ReceiveEventBase & {
      readonly event: 'timeline-switched';
      readonly fromTimeline: number;
      readonly toTimeline: number;
      readonly switchLsn: string;
    })
  | (ReceiveEventBase & LsnRange & { readonly event: 'gap'; readonly reason: string })
  | (ReceiveEventBase & {
      readonly event: 'reconnecting';
      readonly reason: string;
      readonly delayMs: number;
    })
  | (ReceiveEventBase & { readonly event: 'stopped'; readonly flushedLsn: string | null });

const timelineStatus: z.ZodType<WalTimelineStatus> = z.strictObject({
  timeline,
  segments: count,
  storedBytes: byteCount,
  firstSegment: segment.nullable(),
  lastSegment: segment.nullable(),
  ranges: z.array(z.strictObject({ fromLsn: lsn, toLsn: lsn })),
});

const slotStatus: z.ZodType<WalSlotStatus> = z.strictObject({
  name: z.string(),
  exists: z.boolean(),
  active: z.boolean().nullable(),
  restartLsn: lsn.nullable(),
  walStatus: z.string().nullable(),
  retainedBytes: byteCount.nullable(),
});

export const walStatusDocument: z.ZodType<WalStatusDocument> = z.strictObject({
  servers: z.array(
    z.strictObject({
      server: z.string(),
      systemIdentifier: systemIdentifier.nullable(),
      timelines: z.array(timelineStatus),
      gaps: z.array(lsnRange),
      serverLsn: lsn.nullable(),
      storedLsn: lsn.nullable(),
      lagBytes: byteCount.nullable(),
      lagMs: count.nullable(),
      slot: slotStatus.nullable(),
      error: z.string().nullable(),
    }),
  ),
});

export const walSwitchDocument: z.ZodType<WalSwitchDocument> = z.strictObject({
  server: z.string(),
  lsn,
  segment,
  stored: z.boolean(),
});

export const walSlotDocument: z.ZodType<WalSlotDocument> = z.strictObject({
  server: z.string(),
  slot: z.string(),
  outcome: z.enum(['created', 'existed', 'dropped', 'missing']),
  restartLsn: lsn.nullable(),
});

export const walPushDocument: z.ZodType<WalPushDocument> = z.strictObject({
  server: z.string(),
  file: z.string(),
  outcome: z.enum(['stored', 'existed']),
  bytes: byteCount,
});

export const walFetchDocument: z.ZodType<WalFetchDocument> = z.strictObject({
  server: z.string(),
  name: z.string(),
  destination: z.string(),
  source: z.enum(['segment', 'partial', 'pieces', 'spool', 'history']),
  bytes: byteCount,
});

const base = { at: time, server: z.string() };

export const walReceiveEvent: z.ZodType<WalReceiveEvent> = z.discriminatedUnion('event', [
  z.strictObject({
    ...base,
    event: z.literal('streaming'),
    slot: z.string(),
    timeline,
    startLsn: lsn,
  }),
  z.strictObject({
    ...base,
    event: z.literal('segment-stored'),
    timeline,
    segment,
    bytes: byteCount,
    storedBytes: byteCount,
    lagBytes: byteCount.nullable(),
  }),
  z.strictObject({
    ...base,
    event: z.literal('piece-stored'),
    timeline,
    segment,
    offset: byteCount,
    bytes: byteCount,
  }),
  z.strictObject({ ...base, event: z.literal('history-stored'), timeline }),
  z.strictObject({
    ...base,
    event: z.literal('timeline-switched'),
    fromTimeline: timeline,
    toTimeline: timeline,
    switchLsn: lsn,
  }),
  z.strictObject({
    ...base,
    event: z.literal('gap'),
    timeline,
    fromLsn: lsn,
    toLsn: lsn,
    reason: z.string(),
  }),
  z.strictObject({ ...base, event: z.literal('reconnecting'), reason: z.string(), delayMs: count }),
  z.strictObject({ ...base, event: z.literal('stopped'), flushedLsn: lsn.nullable() }),
]);
