import { readServerTime } from '../postgres/replication/server-time.ts';
import { presentIncarnation, readServerRecord } from '../repository/repository.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CheckedServer } from './check-types.ts';
import { fail, pass, type Finding } from './finding.ts';

const PAGE_BYTES = 8192;
/** More would put the ends of backups, by the server's clock, visibly apart from the times that people see. */
const CLOCK_DIFFERENCE_MS_MAX = 60_000;
/** Releases whose minor versions repair what a backup tool meets (release notes of 17.11 and 18.6). */
const REPAIRED_MINORS: Readonly<Record<number, number>> = { 17: 11, 18: 6 };

export function checkBlockSize({ facts }: CheckedServer): Finding {
  const name = 'block size';
  if (facts.blockBytes === PAGE_BYTES) return pass(name, '8192 bytes');
  return fail(name, `${facts.blockBytes} bytes`, {
    kind: 'other',
    text: 'Walnut supports the standard page size of 8192 bytes only: use pg_basebackup for this server.',
  });
}

/** The repository must know this server under this name, or not know the name yet. */
export async function checkIdentity(
  store: ObjectStore,
  { facts, plan, session }: CheckedServer,
): Promise<Finding> {
  const name = 'system identifier';
  const record = await readServerRecord(store, plan.server);
  const seen = `system ${facts.systemIdentifier} of PostgreSQL ${session.majorVersion}`;
  if (record === null) return pass(name, `${seen}, not noted in the repository yet`);
  const known = presentIncarnation(record);
  const isSame =
    known.systemIdentifier === String(facts.systemIdentifier) &&
    known.majorVersion === session.majorVersion &&
    known.walSegmentBytes === facts.walSegmentBytes;
  if (isSame) return pass(name, seen);
  return fail(
    name,
    `the server is ${seen}, the repository knows system ${known.systemIdentifier} of PostgreSQL ${known.majorVersion}`,
    {
      kind: 'other',
      text:
        `If the server was upgraded or made anew on purpose: walnut init ${plan.server} --new-incarnation; ` +
        'otherwise correct the connection in walnut.toml.',
    },
  );
}

export async function checkClock(server: CheckedServer): Promise<Finding> {
  const name = 'clock';
  const before = Date.now();
  const serverMs = await serverTimeMs(server);
  const differenceMs = serverMs - (before + Date.now()) / 2;
  const detail = `${Math.abs(differenceMs / 1000).toFixed(1)} s apart from this host`;
  if (Math.abs(differenceMs) <= CLOCK_DIFFERENCE_MS_MAX) return pass(name, detail);
  return fail(name, detail, {
    kind: 'other',
    text: 'Synchronise both clocks (chrony, systemd-timesyncd): times to restore to are by the server’s clock.',
  });
}

async function serverTimeMs({ session, sqlRefusal }: CheckedServer): Promise<number> {
  if (sqlRefusal !== null) return (await readServerTime(session)).getTime();
  const rows = await session.query<{ ms: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS ms',
    { act: 'ask the server for its time' },
  );
  return Number(rows[0]?.ms);
}

export function checkFullPageWrites({ facts }: CheckedServer): Finding {
  return checkSetting(facts.settings, {
    name: 'full_page_writes',
    isRight: (value) => value !== 'off',
    fix: 'ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();',
  });
}

export function checkWalLevel({ facts }: CheckedServer): Finding {
  return checkSetting(facts.settings, {
    name: 'wal_level',
    isRight: (value) => value !== 'minimal',
    fix: "ALTER SYSTEM SET wal_level = 'replica'; -- then restart the server",
  });
}

export function noteChecksums({ facts }: CheckedServer): Finding {
  const name = 'data checksums';
  return facts.dataChecksums
    ? pass(name, 'on: damaged pages are found when they are backed up')
    : pass(
        name,
        'off: backups cannot tell a damaged page from a sound one. To switch them on: stop the server, then ' +
          'pg_checksums --enable -D DATA_DIRECTORY; take a full backup afterwards.',
      );
}

export function noteRelease({ facts, session }: CheckedServer): Finding {
  const name = 'server release';
  const minor = facts.serverVersionNum % 10_000;
  const version = `PostgreSQL ${session.majorVersion}.${minor}`;
  const repaired = REPAIRED_MINORS[session.majorVersion];
  if (repaired === undefined || minor >= repaired) return pass(name, version);
  return pass(
    name,
    `${version}: ${session.majorVersion}.${repaired} repairs what WAL and incremental backups say of visibility ` +
      'maps. Walnut copies those maps whole, so its backups are right either way; PostgreSQL’s own incrementals are not.',
  );
}

function checkSetting(
  settings: Readonly<Record<string, string>>,
  rule: {
    readonly name: string;
    readonly isRight: (value: string) => boolean;
    readonly fix: string;
  },
): Finding {
  const value = settings[rule.name] ?? 'unknown';
  const detail = `${rule.name} = ${value}`;
  if (rule.isRight(value)) return pass(rule.name, detail);
  return fail(rule.name, detail, { kind: 'setting', text: rule.fix });
}
