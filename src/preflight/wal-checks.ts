/** Whether WAL can come in: by a replication slot, by `archive_command`, or both. */
import { formatLsn } from '../postgres/lsn.ts';
import { READ_SLOT_MAJOR, readSlot as readPhysicalSlot } from '../postgres/replication/commands.ts';
import type { CheckedServer } from './check-types.ts';
import { fail, pass, type Finding } from './finding.ts';

/** A backup by BASE_BACKUP and the receiver take one each. */
const WAL_SENDERS_NEEDED = 2;

export async function checkWalIntake(server: CheckedServer): Promise<Finding[]> {
  const { wal } = server.plan;
  const findings: Finding[] = [];
  if (wal !== 'archive') {
    const slot = await readSlot(server);
    findings.push(await checkWalSenders(server), await checkSlotCount(server, slot));
    findings.push(checkSlot(server, slot));
  }
  if (wal !== 'stream') {
    findings.push(checkArchiveMode(server), checkArchiveCommand(server));
    findings.push(await checkArchiver(server));
  }
  return findings;
}

async function checkWalSenders(server: CheckedServer): Promise<Finding> {
  const name = 'max_wal_senders';
  const max = Number(server.facts.settings[name]);
  const used = await countRows(server, 'pg_stat_replication');
  const detail = inUse(used, max);
  if (max >= WAL_SENDERS_NEEDED && (used ?? 0) < max) return pass(name, detail);
  return fail(name, detail, {
    kind: 'setting',
    text: `ALTER SYSTEM SET max_wal_senders = ${Math.max(10, max + WAL_SENDERS_NEEDED)}; -- then restart the server`,
  });
}

/** Null where SQL, which alone tells, is refused. */
async function countRows(
  { session, sqlRefusal }: CheckedServer,
  view: 'pg_stat_replication' | 'pg_replication_slots',
): Promise<number | null> {
  if (sqlRefusal !== null) return null;
  const rows = await session.query<{ used: number }>(`SELECT count(*)::int AS used FROM ${view}`, {
    act: `count the rows of ${view}`,
  });
  return rows[0]?.used ?? 0;
}

function inUse(used: number | null, max: number): string {
  return used === null ? `${max}; how many are in use takes SQL` : `${used} of ${max} in use`;
}

type SlotRow = {
  readonly slot_type: string;
  /** Null where the server does not tell. */
  readonly active: boolean | null;
  readonly restart_lsn: string | null;
  readonly wal_status: string | null;
  readonly safe_wal_size: bigint | null;
  readonly retained: bigint | null;
};

/** What is known of the slot; null when there is none, `unknown` when the server does not tell. */
async function readSlot(server: CheckedServer): Promise<SlotRow | null | 'unknown'> {
  const { session, plan, facts, sqlRefusal } = server;
  if (sqlRefusal !== null) return readSlotByReplication(server);
  const end = facts.isInRecovery ? 'pg_last_wal_replay_lsn()' : 'pg_current_wal_lsn()';
  const rows = await session.query<SlotRow>(
    `SELECT slot_type, active, restart_lsn, wal_status, safe_wal_size,
       pg_wal_lsn_diff(${end}, restart_lsn)::bigint AS retained
     FROM pg_replication_slots WHERE slot_name = $1`,
    { parameters: [plan.slot], act: `read replication slot "${plan.slot}"` },
  );
  return rows[0] ?? null;
}

async function readSlotByReplication({
  session,
  plan,
  facts,
}: CheckedServer): Promise<SlotRow | null | 'unknown'> {
  if (session.majorVersion < READ_SLOT_MAJOR) return 'unknown';
  const position = await readPhysicalSlot(session, plan.slot);
  if (position === null) return null;
  const { restartLsn } = position;
  const kept = restartLsn === null ? null : (facts.currentLsn ?? restartLsn) - restartLsn;
  return {
    slot_type: 'physical',
    active: null,
    restart_lsn: restartLsn === null ? null : formatLsn(restartLsn),
    wal_status: null,
    safe_wal_size: null,
    retained: kept,
  };
}

async function checkSlotCount(
  server: CheckedServer,
  slot: SlotRow | null | 'unknown',
): Promise<Finding> {
  const name = 'max_replication_slots';
  const max = Number(server.facts.settings[name]);
  const used = await countRows(server, 'pg_replication_slots');
  const detail = inUse(used, max);
  if (slot !== null || (used ?? 0) < max) return pass(name, detail);
  return fail(name, `${detail}, and Walnut's is not among them`, {
    kind: 'setting',
    text:
      `ALTER SYSTEM SET max_replication_slots = ${Math.max(10, max + 1)}; -- then restart the server; or drop a slot that ` +
      'nobody uses: SELECT slot_name FROM pg_replication_slots WHERE NOT active;',
  });
}

function checkSlot({ plan, facts }: CheckedServer, slot: SlotRow | null | 'unknown'): Finding {
  const name = 'replication slot';
  if (slot === 'unknown') {
    return pass(name, `how ${plan.slot} stands cannot be seen: before version 15 that takes SQL`);
  }
  if (slot === null) {
    return pass(
      name,
      `${plan.slot} is not there yet: walnut init, wal receive or a backup makes it; until then the server keeps no WAL for Walnut`,
    );
  }
  if (slot.slot_type !== 'physical') {
    return fail(name, `${plan.slot} is a ${slot.slot_type} slot of something else`, {
      kind: 'other',
      text: `Choose another slot for server ${plan.server} in walnut.toml: slot = "walnut_${plan.server.replaceAll('-', '_')}_2"`,
    });
  }
  const renew =
    `Run \`walnut wal receive ${plan.server}\`: it makes the slot anew and takes the WAL that the server still has. ` +
    `If \`walnut wal status ${plan.server}\` then shows a gap, take a backup.`;
  const state = slot.wal_status ?? 'reserved';
  if (state === 'lost') {
    return fail(name, `${plan.slot} is lost: the server keeps no WAL for Walnut any more`, {
      kind: 'other',
      text: renew,
    });
  }
  if (state === 'unreserved') {
    return fail(name, `${plan.slot} is about to be lost: max_slot_wal_keep_size is passed`, {
      kind: 'other',
      text: `Start \`walnut wal receive ${plan.server}\` now, and raise max_slot_wal_keep_size.`,
    });
  }
  const limit = facts.settings['max_slot_wal_keep_size'] ?? '-1';
  const room =
    slot.safe_wal_size === null
      ? `no limit to the WAL it may keep (max_slot_wal_keep_size = ${limit}): watch the server's disk`
      : `${megabytes(slot.safe_wal_size)} more may be written before it is lost`;
  const kept = slot.retained === null ? '' : `, keeps ${megabytes(slot.retained)} of WAL`;
  if (slot.active === null) {
    return pass(name, `${plan.slot} is there${kept}; whether it is in use takes SQL`);
  }
  return pass(name, `${plan.slot} is ${slot.active ? 'in use' : 'idle'}${kept}; ${room}`);
}

function checkArchiveMode({ facts }: CheckedServer): Finding {
  const name = 'archive_mode';
  const value = facts.settings[name] ?? 'unknown';
  if (value === 'on' || value === 'always') return pass(name, `archive_mode = ${value}`);
  return fail(name, `archive_mode = ${value}`, {
    kind: 'setting',
    text: 'ALTER SYSTEM SET archive_mode = on; -- then restart the server',
  });
}

function checkArchiveCommand({ facts, plan }: CheckedServer): Finding {
  const name = 'archive_command';
  const library = facts.settings['archive_library'] ?? '';
  const command = facts.settings[name] ?? '';
  const fix = {
    kind: 'setting' as const,
    text: `ALTER SYSTEM SET archive_command = ${quoteLiteral(plan.archiveCommand)}; SELECT pg_reload_conf();`,
  };
  if (library !== '') {
    const text = `ALTER SYSTEM SET archive_library = ''; ${fix.text}`;
    return fail(name, `archive_library = ${library} takes the place of archive_command`, {
      ...fix,
      text,
    });
  }
  const isOurs =
    new RegExp(String.raw`\bwal\s+push\s+(?:--?\S+\s+)*'?${plan.server}'?\s`).test(command) &&
    command.includes('%p');
  if (isOurs) return pass(name, command);
  const shown = command === '' || command === '(disabled)' ? 'it is not set' : `it is: ${command}`;
  return fail(name, shown, fix);
}

async function checkArchiver({ session, sqlRefusal }: CheckedServer): Promise<Finding> {
  const name = 'archiver';
  if (sqlRefusal !== null) return pass(name, 'whether archive_command succeeds takes SQL to see');
  const rows = await session.query<{
    failing: boolean | null;
    last_failed_wal: string | null;
    last_archived_wal: string | null;
  }>(
    `SELECT last_failed_time > coalesce(last_archived_time, '-infinity') AS failing, last_failed_wal, last_archived_wal
     FROM pg_stat_archiver`,
    { act: 'ask for the state of the archiver' },
  );
  const [row] = rows;
  if (row?.failing !== true) {
    return pass(name, row?.last_archived_wal ? `last archived: ${row.last_archived_wal}` : 'idle');
  }
  return fail(name, `archive_command fails for ${row.last_failed_wal}`, {
    kind: 'other',
    text: 'The log of the server shows what the command printed; run it by hand, as the user of the server, from the data directory.',
  });
}

function quoteLiteral(text: string): string {
  const escaped = text.replaceAll("'", "''");
  return text.includes('\\') ? `E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`;
}

function megabytes(bytes: bigint): string {
  return `${(Number(bytes) / 1e6).toFixed(1)} MB`;
}
