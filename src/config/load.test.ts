import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WalnutError } from '../lib/walnut-error.ts';
import type { Configuration } from './configuration.ts';
import { loadConfiguration } from './load.ts';
import { renderConfigurationFile } from './template.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'walnut-config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const MINIMAL = `[repository.main]
url = "file:///backup"
[server.shop]
connection = "postgresql://walnut:hunter2@db1/postgres"
`;

function load(text: string, environment: NodeJS.ProcessEnv = {}): Configuration {
  writeFileSync(join(folder, 'walnut.toml'), text);
  return loadConfiguration({ configPath: undefined, environment, workingDirectory: folder });
}

function failure(run: () => unknown): WalnutError {
  try {
    run();
  } catch (error) {
    if (error instanceof WalnutError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('loadConfiguration', () => {
  test('fills defaults and makes paths absolute', () => {
    const { path, servers, repositories, inactive } = load(
      `${MINIMAL}data_directory = "data"\npassword_file = "secret"\n`,
    );
    expect(path).toBe(join(folder, 'walnut.toml'));
    expect(repositories.get('main')).toEqual({
      name: 'main',
      url: 'file:///backup',
      path: '/backup',
    });
    const shop = servers.get('shop');
    expect(shop?.connection.reveal()).toContain('hunter2');
    expect(shop).toMatchObject({
      name: 'shop',
      repository: { name: 'main' },
      password: { kind: 'file', path: join(folder, 'secret') },
      dataDirectory: join(folder, 'data'),
      wal: 'stream',
      slot: 'walnut_shop',
      applicationName: 'walnut',
      spoolDirectory: '/backup/.spool/shop',
      backupFrom: 'primary',
      jobs: 2,
      level: 1,
      rateBytesPerSecond: null,
      pieceIntervalMs: 2000,
      walTimeoutMs: 600_000,
      retention: {
        windowMs: null,
        keep: { full: null, daily: null, weekly: null, monthly: null, yearly: null },
        minimumRedundancy: 1,
      },
      schedule: null,
    });
    expect(inactive).toEqual([]);
  });

  test('keeps what it does not act on yet, and names it', () => {
    const { servers, inactive } = load(`${MINIMAL}
[daemon]
listen = "127.0.0.1:8432"
[server.shop.schedule]
full = "0 2 * * 0"
`);
    expect(servers.get('shop')).toMatchObject({ schedule: { full: '0 2 * * 0' } });
    expect(inactive.map(({ key }) => key)).toEqual(['daemon.listen', 'server.shop.schedule.full']);
  });

  test('reads the retention policy of a server', () => {
    const { servers, inactive } = load(`${MINIMAL}
[server.shop.retention]
window = "14 days"
keep = { full = 2, daily = 7, yearly = 3 }
minimum_redundancy = 2
`);
    expect(servers.get('shop')?.retention).toEqual({
      windowMs: 14 * 86_400_000,
      keep: { full: 2, daily: 7, weekly: null, monthly: null, yearly: 3 },
      minimumRedundancy: 2,
    });
    expect(inactive).toEqual([]);
  });

  test.each([
    [
      'an unknown key',
      `${MINIMAL}conection = "x"\n`,
      ['line 5, column 1', '"conection"'],
      'Did you mean connection?',
    ],
    [
      'an unknown nested key',
      `${MINIMAL}[server.shop.retention]\nkeep = { dayly = 1 }\n`,
      ['line 6, column 10', 'retention.keep.dayly'],
      'retention.keep.daily',
    ],
    [
      'an unknown table',
      `${MINIMAL}[servers.x]\n`,
      ['line 5, column 2', '"servers"'],
      'Did you mean server?',
    ],
    [
      'a key at the wrong level',
      `${MINIMAL}[server]\nconnection = "x"\n`,
      ['line 6, column 1', 'named tables'],
      '[server.NAME]',
    ],
    [
      'a value of the wrong type',
      `${MINIMAL}jobs = "four"\n`,
      ['line 5', '"jobs" = "four"', 'whole number'],
      'workers',
    ],
    ['a value out of range', `${MINIMAL}level = 99\n`, ['line 5', '"level" = 99', '19'], 'zstd'],
    [
      'a value out of a choice',
      `${MINIMAL}wal = "streams"\n`,
      ['line 5', '"wal" = "streams"'],
      '"stream"',
    ],
    [
      'a broken duration',
      `${MINIMAL}piece_interval = "2 fortnights"\n`,
      ['line 5', 'not a duration'],
      'DURATION',
    ],
    [
      'a broken cron line',
      `${MINIMAL}[server.shop.schedule]\nfull = "0 25 * * *"\n`,
      ['line 6', 'the hour'],
      'CRON',
    ],
    [
      'encryption',
      `[repository.main]\nurl = "file:///b"\n[repository.main.encryption]\npassphrase = "x"\n`,
      ['line 3', 'encryption is not built yet'],
      'Leave it out',
    ],
    [
      'a bucket',
      `[repository.main]\nurl = "s3://bucket/x"\n`,
      ['line 2', 's3:// are not built yet'],
      'file:///',
    ],
    [
      'a path for a URL',
      `[repository.main]\nurl = "/backup"\n`,
      ['line 2', 'is not a URL'],
      'file:///backup',
    ],
    [
      'a relative URL',
      `[repository.main]\nurl = "file://backup"\n`,
      ['line 2', 'no folder of this host'],
      'three slashes',
    ],
    [
      'a missing key',
      `${MINIMAL}[server.crm]\njobs = 1\n`,
      ['line 5', '[server.crm] has no key "connection"'],
      'libpq',
    ],
    [
      'a bad server name',
      `${MINIMAL}[server.Shop]\nconnection = "x"\n`,
      ['line 5', '"Shop"'],
      'a-z',
    ],
    [
      'a reserved server name',
      `${MINIMAL}[server.keys]\nconnection = "x"\n`,
      ['line 5', 'reserved'],
      'another',
    ],
    [
      'an unknown repository',
      `${MINIMAL}repository = "mian"\n`,
      ['line 5', '[repository.mian]'],
      'Did you mean main?',
    ],
    [
      'a password in the file',
      `${MINIMAL}password = "hunter2"\n`,
      ['line 5', 'environment only'],
      'password_file',
    ],
    [
      'two sources of a password',
      `${MINIMAL}password_file = "x"\npassword_command = "y"\n`,
      ['line 6', 'more than one source'],
      'Leave one',
    ],
    ['broken TOML', `${MINIMAL}jobs = = 2\n`, ['line 5, column 8'], 'TOML'],
  ])('refuses %s with its place', (_, ...[text, parts, hint]) => {
    const error = failure(() => load(text));
    expect(error.code).toBe('config');
    for (const part of [join(folder, 'walnut.toml'), ...parts])
      expect(error.message).toContain(part);
    expect(error.hint).toContain(hint);
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  test('refuses a connection of the wrong type without quoting it', () => {
    const error = failure(() =>
      load(MINIMAL.replace('"postgresql://walnut:hunter2@db1/postgres"', '["hunter2"]')),
    );
    expect(error.message).toContain('line 4');
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  test('does not show the line of a syntax error, which may hold a password', () => {
    const error = failure(() => load('connection = "hunter2\n'));
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  test('lets the environment win over the file', () => {
    const { servers } = load(MINIMAL, {
      WALNUT_SERVER_SHOP_JOBS: '7',
      WALNUT_SERVER_SHOP_RETENTION_WINDOW: '2 days',
      WALNUT_SERVER_SHOP_PASSWORD: 'hunter2',
    });
    const shop = servers.get('shop');
    expect(shop).toMatchObject({ jobs: 7, retention: { windowMs: 172_800_000 } });
    expect(shop?.password).toMatchObject({ kind: 'value' });
    expect(inspect(shop, { depth: 9 })).not.toContain('hunter2');
  });

  test('does without a file when the environment has all', () => {
    const { path, servers } = loadConfiguration({
      configPath: undefined,
      workingDirectory: folder,
      environment: {
        WALNUT_REPOSITORY_MAIN_URL: 'file:///backup',
        WALNUT_SERVER_SHOP_EU_CONNECTION: 'host=db1',
      },
    });
    expect(path).toBeNull();
    expect([...servers.keys()]).toEqual(['shop_eu']);
  });

  test('gives the variables of a name with hyphens to the server of the file', () => {
    const { servers } = load(MINIMAL.replace('server.shop', 'server.shop-eu'), {
      WALNUT_SERVER_SHOP_EU_CONNECTION: 'host=db2',
    });
    expect([...servers.keys()]).toEqual(['shop-eu']);
    expect(servers.get('shop-eu')?.connection.reveal()).toBe('host=db2');
    expect(servers.get('shop-eu')?.slot).toBe('walnut_shop_eu');
  });

  test.each([
    [{ WALNUT_SERVER_SHOP_JOB: '1' }, 'WALNUT_SERVER_SHOP_JOB', 'WALNUT_SERVER_SHOP_JOBS'],
    [{ WALNUT_SERVER_SHOP_JOBS: 'many' }, 'WALNUT_SERVER_SHOP_JOBS', 'workers'],
    [{ WALNUT_REPOSITORY_MAIN_URL: 's3://x' }, 'WALNUT_REPOSITORY_MAIN_URL', 'file:///'],
  ])('names the variable at fault: %j', (environment, variable, hint) => {
    const error = failure(() => load(MINIMAL, environment));
    expect(error.message).toContain(variable);
    expect(error.hint).toContain(hint);
  });

  test('looks where it is told, in order', () => {
    writeFileSync(join(folder, 'other.toml'), MINIMAL.replace('server.shop', 'server.other'));
    writeFileSync(join(folder, 'walnut.toml'), MINIMAL);
    const named = (configPath: string | undefined, environment: NodeJS.ProcessEnv): string[] => [
      ...loadConfiguration({ configPath, environment, workingDirectory: folder }).servers.keys(),
    ];
    expect(named(undefined, {})).toEqual(['shop']);
    expect(named(undefined, { WALNUT_CONFIG: 'other.toml' })).toEqual(['other']);
    expect(named('walnut.toml', { WALNUT_CONFIG: 'other.toml' })).toEqual(['shop']);
  });

  test('says what to do when there is none', () => {
    const run = (configPath: string | undefined): WalnutError =>
      failure(() => loadConfiguration({ configPath, environment: {}, workingDirectory: folder }));
    expect(run(undefined).hint).toContain('walnut init');
    expect(run('none.toml').message).toContain(join(folder, 'none.toml'));
  });

  test('reads the file that init writes', () => {
    const text = renderConfigurationFile({
      repository: { name: 'main', url: 'file:///back%20up' },
      server: {
        name: 'shop',
        connection: String.raw`host=db1 options='-c a="b\\c"'`,
        passwordFile: '/etc/walnut/password',
        dataDirectory: null,
        wal: 'both',
        spoolDirectory: '/spool',
      },
    });
    const shop = load(text).servers.get('shop');
    expect(shop?.connection.reveal()).toBe(String.raw`host=db1 options='-c a="b\\c"'`);
    expect(shop).toMatchObject({
      repository: { path: '/back up' },
      wal: 'both',
      spoolDirectory: '/spool',
      dataDirectory: null,
    });
  });
});
