import type { WalTarget } from '../catalog/time-index.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { postgresTimeToDate } from '../postgres/wal/postgres-time.ts';

/** The point to which a server is brought back. Times are µs since 2000-01-01 UTC, as in WAL. */
export type RecoveryTarget = WalTarget | { readonly kind: 'immediate' };

/** In the zone of this process and shown with it: `2026-11-22 19:15:00.123456+01:00`; the fraction only where there is one. */
export function formatMoment(timeUs: number): string {
  const micros = ((timeUs % 1_000_000) + 1_000_000) % 1_000_000;
  const digits = String(micros).padStart(6, '0').replace(/0+$/, '');
  return formatLocal(postgresTimeToDate(timeUs - micros), digits === '' ? '' : `.${digits}`);
}

/** As {@link formatMoment}, for a time of the system's clock. */
export function formatClock(moment: Date): string {
  return formatLocal(moment, '');
}

/** For messages: "the time 2026-11-22 19:15:00+01:00". */
export function describeTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'latest':
      return 'the end of the stored WAL';
    case 'immediate':
      return 'the end of the backup';
    case 'time':
      return `the time ${formatMoment(target.timeUs)}`;
    case 'lsn':
      return `LSN ${formatLsn(target.lsn)}`;
    case 'xid':
      return `transaction ${target.xid}`;
    case 'name':
    default:
      return `restore point "${target.name}"`;
  }
}

function formatLocal(date: Date, fraction: string): string {
  const offset = -date.getTimezoneOffset();
  const shifted = new Date(date.getTime() + offset * 60_000).toISOString();
  return `${shifted.slice(0, 10)} ${shifted.slice(11, 19)}${fraction}${formatOffset(offset)}`;
}

function formatOffset(minutes: number): string {
  const absolute = Math.abs(minutes);
  const hours = String(Math.floor(absolute / 60)).padStart(2, '0');
  return `${minutes < 0 ? '-' : '+'}${hours}:${String(absolute % 60).padStart(2, '0')}`;
}
