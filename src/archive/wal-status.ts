/** How a server's archive stands: ranges, gaps, and how far it is behind. */
import { coveredUntil } from '../catalog/time-index.ts';
import {
  gapsOf,
  lastStoredSegment,
  newestTimeline,
  readWalInventory,
  type TimelineInventory,
  type WalInventory,
  type WalScope,
} from '../catalog/wal-inventory.ts';
import { followWal } from '../catalog/wal-path.ts';
import { messageOf } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { openServerSession } from '../postgres/replication/server-connection.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { postgresTimeToMs } from '../postgres/wal/postgres-time.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readServerWal, readServerWalByReplication, type ServerWal } from './server-wal.ts';

type TimelineStatus = {
  readonly timeline: TimelineId;
  readonly segments: number;
  readonly storedBytes: number;
  /** Names of the first and the last segment of which anything is stored. */
  readonly firstSegment: string | null;
  readonly lastSegment: string | null;
  readonly ranges: readonly LsnRange[];
};

export type WalStatus = {
  readonly timelines: readonly TimelineStatus[];
  readonly gaps: readonly LsnRange[];
  /** The end of what is stored on the newest timeline; null when nothing is. */
  readonly storedLsn: Lsn | null;
  /** Null when the server could not be asked; `error` says why. */
  readonly serverWal: ServerWal | null;
  readonly error: string | null;
  readonly lagBytes: number | null;
  /** How old, by the server's clock, the newest moment is that can be restored; 0 when nothing is missing. */
  readonly lagMs: number | null;
};

export type WalStatusRequest = {
  readonly store: ObjectStore;
  readonly scope: WalScope;
  readonly connection: ConnectionSettings;
  readonly slot: string;
};

export async function readWalStatus(request: WalStatusRequest): Promise<WalStatus> {
  const { store, scope } = request;
  const inventory = await readWalInventory(store, scope);
  const asked = await askServer(request);
  const storedLsn = endOfStored(inventory);
  const serverLsn = asked.serverWal?.lsn ?? null;
  const lagBytes =
    serverLsn === null || storedLsn === null ? null : Math.max(0, Number(serverLsn - storedLsn));
  return {
    timelines: [...inventory.timelines.values()].map((stored) => statusOf(inventory, stored)),
    gaps: gapsOf(inventory),
    storedLsn,
    ...asked,
    lagBytes,
    lagMs: await lagInTime(store, inventory, { lagBytes, now: asked.serverWal?.now ?? null }),
  };
}

async function askServer({
  connection,
  slot,
}: WalStatusRequest): Promise<Pick<WalStatus, 'serverWal' | 'error'>> {
  try {
    const { session, sqlRefusal } = await openServerSession(connection, {
      applicationName: 'walnut',
    });
    try {
      const read = sqlRefusal === null ? readServerWal : readServerWalByReplication;
      return { serverWal: await read(session, slot), error: null };
    } finally {
      await session.close();
    }
  } catch (error) {
    return { serverWal: null, error: messageOf(error) };
  }
}

function statusOf({ segmentBytes }: WalInventory, stored: TimelineInventory): TimelineStatus {
  const { timeline, segments, storedBytes, ranges } = stored;
  const numbers = [stored.runs[0]?.first, stored.open[0]?.number].filter(
    (number) => number !== undefined,
  );
  const first = numbers.toSorted((one, other) => (one < other ? -1 : 1))[0] ?? null;
  const last = lastStoredSegment(stored);
  const name = (number: bigint | null): string | null =>
    number === null ? null : formatSegmentName({ timeline, number }, segmentBytes);
  return {
    timeline,
    segments,
    storedBytes,
    firstSegment: name(first),
    lastSegment: name(last),
    ranges,
  };
}

function endOfStored(inventory: WalInventory): Lsn | null {
  const newest = newestTimeline(inventory);
  const own = newest === null ? undefined : inventory.timelines.get(newest)?.ranges.at(-1)?.end;
  return own ?? [...inventory.timelines.values()].at(-1)?.ranges.at(-1)?.end ?? null;
}

async function lagInTime(
  store: ObjectStore,
  inventory: WalInventory,
  { lagBytes, now }: { readonly lagBytes: number | null; readonly now: Date | null },
): Promise<number | null> {
  if (lagBytes === null || now === null) return null;
  if (lagBytes === 0) return 0;
  const last = [...inventory.timelines.values()].findLast(({ ranges }) => ranges.length > 0);
  const range = last?.ranges.at(-1);
  if (last === undefined || range === undefined || !inventory.histories.has(last.timeline)) {
    return null;
  }
  const path = followWal(inventory, { timeline: last.timeline, from: range.start });
  const covered = await coveredUntil(store, inventory, path);
  return covered === null
    ? null
    : Math.max(0, Math.round(now.getTime() - postgresTimeToMs(covered)));
}
