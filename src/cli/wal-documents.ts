/** The engine's answers as the documents of `src/api/wal-contract.ts`. */
import type { LsnRange as ContractRange } from '../api/contract-fields.ts';
import type { WalServerStatus } from '../api/wal-contract.ts';
import type { WalStatus } from '../archive/wal-status.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import type { LsnRange } from '../postgres/timeline-history.ts';

export function walServerStatusOf(
  server: string,
  systemIdentifier: string | null,
  status: WalStatus,
): WalServerStatus {
  const { serverWal } = status;
  const slot = serverWal?.slot ?? null;
  return {
    server,
    systemIdentifier,
    timelines: status.timelines.map(({ ranges, ...timeline }) => ({
      ...timeline,
      ranges: ranges.map(({ start, end }) => ({
        fromLsn: formatLsn(start),
        toLsn: formatLsn(end),
      })),
    })),
    gaps: status.gaps.map(rangeOf),
    serverLsn: textOf(serverWal?.lsn ?? null),
    storedLsn: textOf(status.storedLsn),
    lagBytes: status.lagBytes,
    lagMs: status.lagMs,
    slot: slot === null ? null : { ...slot, restartLsn: textOf(slot.restartLsn) },
    error: status.error,
  };
}

function rangeOf({ timeline, start, end }: LsnRange): ContractRange {
  return { timeline, fromLsn: formatLsn(start), toLsn: formatLsn(end) };
}

export function textOf(lsn: Lsn | null): string | null {
  return lsn === null ? null : formatLsn(lsn);
}
