import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cp, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import {
  adoptCluster,
  testCluster,
  TEST_PASSWORD,
  type TestCluster,
} from '../../../test/support/cluster.ts';
import { sleep } from '../../lib/sleep.ts';
import { hasCode, WalnutError } from '../../lib/walnut-error.ts';
import { readConnectionSettings, type ConnectionSettings } from './connection-settings.ts';
import type { ConnectionSources } from './connection-sources.ts';
import { sqlStateOf } from './error-mapping.ts';
import { openSession } from './open-session.ts';
import type { Session, SessionOptions } from './session.ts';
import type { ServerMessage } from './server-error.ts';

const SOURCES: ConnectionSources = {
  environment: {},
  homeFolder: '/nonexistent',
  userName: 'nobody',
  readFile: () => null,
  exists: () => false,
};
const options: SessionOptions = { applicationName: 'walnut test' };

function settingsOf(cluster: TestCluster, user = 'walnut', parameters = {}): ConnectionSettings {
  return readConnectionSettings(cluster.connectionString({ user, parameters }), SOURCES);
}

async function failure(opening: Promise<unknown>): Promise<WalnutError> {
  try {
    await opening;
  } catch (error) {
    if (error instanceof WalnutError) return error;
    throw error;
  }
  throw new Error('the session was opened');
}

describe.each([13, 18] as const)('sessions with PostgreSQL %i', (major) => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await testCluster({
      major,
      hbaLines: ['host all,replication outsider 127.0.0.1/32 reject'],
    });
    const rules = [
      'statement_timeout = 100',
      'lock_timeout = 100',
      'idle_in_transaction_session_timeout = 100',
      ...(major >= 14 ? ['idle_session_timeout = 300'] : []),
      ...(major >= 17 ? ['transaction_timeout = 100'] : []),
      "datestyle = 'German'",
    ];
    await cluster.sql(
      [
        ...rules.map((rule) => `alter role walnut set ${rule}`),
        `create role plain login password '${TEST_PASSWORD}'`,
        `create role outsider login password '${TEST_PASSWORD}'`,
        `create role sleeper nologin password '${TEST_PASSWORD}'`,
        `create role limited login connection limit 0 password '${TEST_PASSWORD}'`,
      ].join(';'),
    );
  });

  afterAll(async () => {
    await cluster.dispose();
  });

  test('no time-out of the role ends a session', async () => {
    const session = await openSession(settingsOf(cluster), options);
    await session.query('BEGIN');
    await session.query('SELECT pg_sleep(0.4)');
    await sleep(500);
    await session.query('COMMIT');
    await sleep(500);
    const [row] = await session.query<{ style: string; encoding: string }>(
      `SELECT current_setting('DateStyle') AS style, current_setting('client_encoding') AS encoding`,
    );
    expect(row).toEqual({ style: expect.stringMatching(/^ISO/) as string, encoding: 'UTF8' });
    await session.close();
  });

  test('values come in types that lose nothing', async () => {
    const session = await openSession(settingsOf(cluster), options);
    const [row] = await session.query(
      `SELECT $1::int8 AS big, 'x'::text AS text, '2026-01-02 03:04:05.123456'::timestamp AS time,
         '16/B374D848'::pg_lsn AS lsn, '\\x00ff'::bytea AS bytes, true AS yes, 7::int4 AS small`,
      { parameters: ['9007199254740993'] },
    );
    expect(row).toEqual({
      big: 9007199254740993n,
      text: 'x',
      time: '2026-01-02 03:04:05.123456',
      lsn: '16/B374D848',
      bytes: Buffer.from([0, 255]),
      yes: true,
      small: 7,
    });
    await session.close();
  });

  test('tells its version, and delivers notices', async () => {
    const notices: ServerMessage[] = [];
    const session = await openSession(settingsOf(cluster), {
      ...options,
      onNotice: (notice) => notices.push(notice),
    });
    expect(session.majorVersion).toBe(major);
    const [row] = await session.query<{ number: number }>(
      `SELECT current_setting('server_version_num')::int4 AS number`,
    );
    expect(session.serverVersionNum).toBe(row?.number);
    await session.query(`DO $$ BEGIN RAISE WARNING 'watch out'; END $$`);
    expect(notices).toMatchObject([{ severity: 'WARNING', code: '01000', message: 'watch out' }]);
    await session.close();
  });

  test('a statement can be cancelled', async () => {
    const session = await openSession(settingsOf(cluster), options);
    const sleeping = session.query('SELECT pg_sleep(60)', { act: 'sleep' });
    const cancelled = failure(sleeping);
    await sleep(100);
    await session.cancel();
    expect(sqlStateOf(await cancelled)).toBe('57014');
    expect(await session.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await session.close();
  });

  test('a lost session says why, once and for every later use', async () => {
    const session = await openSession(settingsOf(cluster), options);
    const [row] = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await cluster.sql('select pg_terminate_backend($1)', { parameters: [row?.pid] });
    const lost = await session.lost;
    expect(lost).toMatchObject({ code: 'connection', details: { sqlState: '57P01' } });
    await expect(session.query('SELECT 1')).rejects.toThrow(lost.message);
    await session.close();
  });

  test('closing during a statement cuts it off and is no loss', async () => {
    const session = await openSession(settingsOf(cluster), options);
    const sleeping = session.query('SELECT pg_sleep(60)');
    const cut = failure(sleeping);
    await sleep(50);
    await session.close();
    expect((await cut).code).toBe('connection');
    expect(await Promise.race([session.lost, sleep(50)])).toBeUndefined();
  });

  test('an aborted opening leaves nothing behind', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(openSession(settingsOf(cluster), { ...options, signal })).rejects.toThrow(
      'enough',
    );
  });

  test.each([
    ['plain', 'wrong', 'authentication', 'ALTER ROLE plain PASSWORD'],
    ['missing', TEST_PASSWORD, 'authentication', 'PASSWORD'],
    ['sleeper', TEST_PASSWORD, 'authentication', 'ALTER ROLE sleeper LOGIN;'],
    ['outsider', TEST_PASSWORD, 'authentication', 'outsider   127.0.0.1/32   scram-sha-256'],
    ['limited', TEST_PASSWORD, 'connection', 'CONNECTION LIMIT'],
    ['plain', '', 'authentication', '~/.pgpass'],
  ])('login of %s with password "%s" shows its fix', async (...[user, password, code, hint]) => {
    const settings = { ...settingsOf(cluster, user), password: password || null };
    const error = await failure(openSession(settings, options));
    expect(error).toMatchObject({ code });
    expect(error.hint).toContain(hint);
    expect(error.message).not.toContain(TEST_PASSWORD);
  });

  test('a missing database shows its fix', async () => {
    const error = await failure(openSession(settingsOf(cluster), { ...options, database: 'nix' }));
    expect(error.hint).toContain('Name a database');
  });
});

describe('several hosts', () => {
  let primary: TestCluster;
  let standby: TestCluster;

  beforeAll(async () => {
    primary = await testCluster({ major: 18 });
    await primary.server.stop();
    const copy = join(primary.workFolder, 'copy');
    await cp(primary.dataFolder, copy, { recursive: true });
    await chmod(copy, 0o700);
    await cp(join(copy, 'PG_VERSION'), join(copy, 'standby.signal'));
    standby = await adoptCluster({ major: 18, dataFolder: copy });
    await primary.server.start();
    await standby.server.start();
  });

  afterAll(async () => {
    await standby.dispose();
    await primary.dispose();
  });

  function over(places: readonly (number | undefined)[], parameters: string): ConnectionSettings {
    const hosts = places.map((port) => `127.0.0.1:${port}`).join(',');
    const secret = encodeURIComponent(TEST_PASSWORD);
    const url = `postgresql://walnut:${secret}@${hosts}/postgres?${parameters}`;
    return readConnectionSettings(url, SOURCES);
  }

  async function portOf(opening: Promise<Session>): Promise<number> {
    const session = await opening;
    await session.close();
    return session.host.port;
  }

  test.each([
    ['any', 'primary', 'standby', 'primary'],
    ['any', 'standby', 'primary', 'standby'],
    ['primary', 'standby', 'primary', 'primary'],
    ['read-write', 'standby', 'primary', 'primary'],
    ['standby', 'primary', 'standby', 'standby'],
    ['read-only', 'primary', 'standby', 'standby'],
    ['prefer-standby', 'primary', 'standby', 'standby'],
    ['prefer-standby', 'primary', 'nothing', 'primary'],
    ['any', 'nothing', 'standby', 'standby'],
  ])('%s over %s, %s takes the %s', async (...[target, first, second, taken]) => {
    const ports: Record<string, number | undefined> = {
      primary: primary.server.port,
      standby: standby.server.port,
      nothing: 1,
    };
    const settings = over([ports[first], ports[second]], `target_session_attrs=${target}`);
    expect(await portOf(openSession(settings, options))).toBe(ports[taken]);
    const replication = { ...options, replication: 'physical' } as const;
    expect(await portOf(openSession(settings, replication))).toBe(ports[taken]);
  });

  test('none of the right kind names each host', async () => {
    const places = [primary.server.port, 1];
    const error = await failure(openSession(over(places, 'target_session_attrs=standby'), options));
    expect(error.message).toContain(`127.0.0.1:${primary.server.port}: the server is not standby`);
    expect(error.message).toContain('127.0.0.1:1: connection refused');
  });

  test('a refused login ends the search', async () => {
    const settings = { ...over([standby.server.port, primary.server.port], ''), password: 'no' };
    const error = await failure(openSession(settings, options));
    expect(hasCode(error, 'authentication')).toBe(true);
    expect(error.message).not.toContain(String(primary.server.port));
  });
});
