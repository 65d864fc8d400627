/** What a server says about its WAL. */
import type { Session } from '../postgres/connection/session.ts';
import { parseLsn, type Lsn } from '../postgres/lsn.ts';
import { identifySystem, READ_SLOT_MAJOR, readSlot } from '../postgres/replication/commands.ts';
import { readServerTime } from '../postgres/replication/server-time.ts';

type SlotHealth = {
  readonly name: string;
  readonly exists: boolean;
  /** Null where the kind of connection does not tell. */
  readonly active: boolean | null;
  readonly restartLsn: Lsn | null;
  /** reserved, extended, unreserved or lost. */
  readonly walStatus: string | null;
  /** WAL that the server keeps because of the slot. */
  readonly retainedBytes: number | null;
};

export type ServerWal = {
  /** The end of WAL; on a standby what it has received or replayed. */
  readonly lsn: Lsn | null;
  readonly now: Date;
  /** Null where the kind of connection does not tell. */
  readonly slot: SlotHealth | null;
};

type Row = {
  readonly lsn: string | null;
  readonly now_ms: number;
  readonly slot_name: string | null;
  readonly active: boolean | null;
  readonly restart_lsn: string | null;
  readonly wal_status: string | null;
  readonly retained: bigint | null;
};

const QUERY = `
  SELECT wal.lsn::text AS lsn, extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms,
         slot.slot_name::text AS slot_name, slot.active, slot.restart_lsn::text AS restart_lsn, slot.wal_status,
         pg_wal_lsn_diff(wal.lsn, slot.restart_lsn)::int8 AS retained
    FROM (SELECT CASE WHEN pg_is_in_recovery()
                      THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                      ELSE pg_current_wal_flush_lsn() END) AS wal (lsn)
    LEFT JOIN pg_catalog.pg_replication_slots AS slot ON slot.slot_name = $1`;

export async function readServerWal(session: Session, slot: string): Promise<ServerWal> {
  const [row] = await session.query<Row>(QUERY, { parameters: [slot], act: 'read WAL positions' });
  return {
    lsn: lsnOf(row?.lsn),
    now: new Date(row?.now_ms ?? Date.now()),
    slot: {
      name: slot,
      exists: (row?.slot_name ?? null) !== null,
      active: row?.active ?? false,
      restartLsn: lsnOf(row?.restart_lsn),
      walStatus: row?.wal_status ?? null,
      retainedBytes: retainedOf(row?.retained),
    },
  };
}

/** The same on a connection that takes replication commands only. */
export async function readServerWalByReplication(
  session: Session,
  slot: string,
): Promise<ServerWal> {
  const { flushLsn } = await identifySystem(session);
  const now = await readServerTime(session);
  if (session.majorVersion < READ_SLOT_MAJOR) return { lsn: flushLsn, now, slot: null };
  const position = await readSlot(session, slot);
  const restartLsn = position?.restartLsn ?? null;
  return {
    lsn: flushLsn,
    now,
    slot: {
      name: slot,
      exists: position !== null,
      active: null,
      restartLsn,
      walStatus: null,
      retainedBytes: restartLsn === null ? null : Math.max(0, Number(flushLsn - restartLsn)),
    },
  };
}

export type SwitchedWal = {
  /** The end of the switched segment's WAL. */
  readonly lsn: Lsn;
  readonly timeline: number;
};

/** Finishes the current segment; does nothing when it holds nothing yet. */
export async function switchWal(session: Session): Promise<SwitchedWal> {
  const [row] = await session.query<{ lsn: string; name: string }>(
    'SELECT lsn::text AS lsn, pg_walfile_name(lsn) AS name FROM pg_switch_wal() AS lsn',
    { act: 'switch to a new WAL segment' },
  );
  const lsn = parseLsn(row?.lsn ?? '');
  return { lsn, timeline: Number.parseInt((row?.name ?? '').slice(0, 8), 16) };
}

function lsnOf(text: string | null | undefined): Lsn | null {
  return text === null || text === undefined ? null : parseLsn(text);
}

function retainedOf(value: bigint | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.max(0, Number(value));
}
