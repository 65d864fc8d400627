/** `init` on real servers: it makes what is missing, and what it prints makes the rest. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { TEST_PASSWORD, testCluster, type TestCluster } from '../../test/support/cluster.ts';
import { initDocument, type InitDocument } from '../api/contract.ts';
import { createOutput } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

const clusters: TestCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.dispose();
});

async function startCluster(options: Parameters<typeof testCluster>[0]): Promise<TestCluster> {
  const cluster = await testCluster(options);
  clusters.push(cluster);
  return cluster;
}

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

async function run(config: string, ...words: string[]): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const streams = {
    stdout: { write: (text: string) => void (stdout += text) },
    stderr: { write: (text: string) => void (stderr += text) },
  };
  const code = await runCommandLine(words, {
    signal: new AbortController().signal,
    environment: { WALNUT_CONFIG: config },
    packageRoot: '/opt/walnut',
    version: '1.2.3',
    now: () => new Date(),
    createOutput: (json) => createOutput(streams, { json }),
  });
  return { code, stdout, stderr };
}

function documentOf({ stdout, stderr }: Ran): InitDocument {
  if (stdout === '') throw new Error(stderr);
  return initDocument.parse(JSON.parse(stdout));
}

type Place = { readonly config: string; readonly repository: string; readonly options: string[] };

async function place(cluster: TestCluster, connection: string): Promise<Place> {
  const config = join(cluster.workFolder, 'etc', 'walnut.toml');
  const repository = join(cluster.workFolder, 'back ups');
  const options = ['init', 'shop', '--yes', '--connection', connection, '--repository', repository];
  return { config, repository, options };
}

describe.each([13, 18] as const)('init on PostgreSQL %i', (major) => {
  test('makes configuration, repository and slot, prints what the server needs, and is done when that was run', async () => {
    const cluster = await startCluster({ major, roles: false });
    await cluster.sql(`create role backup login password '${TEST_PASSWORD}'`);
    const { config, repository, options } = await place(
      cluster,
      cluster.connectionString({ user: 'backup' }),
    );
    const first = await run(config, ...options, '--json');
    expect(first.code).toBe(0);
    const document = documentOf(first);
    expect(document).toMatchObject({
      configFile: config,
      configWritten: true,
      repository: { name: 'main', created: true },
      server: 'shop',
      slot: null,
      newIncarnation: false,
    });
    expect((await stat(config)).mode & 0o777).toBe(0o600);
    expect(await readFile(join(repository, 'walnut.json'))).toBeDefined();
    const sql = document.missing.filter(({ kind }) => kind === 'sql').map(({ text }) => text);
    expect(sql.join('\n')).toContain('ALTER ROLE backup REPLICATION;');
    expect(document.missing.every(({ kind }) => kind === 'sql')).toBe(true);
    await cluster.sql(sql.join('\n'));
    const second = documentOf(await run(config, 'init', '--json'));
    expect(second).toMatchObject({
      configWritten: false,
      repository: { created: false },
      slot: { name: 'walnut_shop', created: true },
      missing: [],
    });
    const checked = await run(config, 'check', 'shop');
    expect({ code: checked.code, text: checked.stdout }).toMatchObject({ code: 0 });
  });

  test('changes nothing the second time, and never the configuration', async () => {
    const cluster = await startCluster({ major });
    const { config, options } = await place(cluster, cluster.connectionString({ user: 'walnut' }));
    expect(documentOf(await run(config, ...options, '--json'))).toMatchObject({
      slot: { created: true },
      missing: [],
    });
    const written = await readFile(config, 'utf8');
    const again = documentOf(await run(config, ...options, '--json'));
    expect(again).toMatchObject({
      configWritten: false,
      repository: { created: false },
      slot: { created: false },
    });
    const other = await run(config, ...options, '--wal', 'archive');
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('option --wal');
    const unknown = await run(config, 'init', 'crm', '--yes');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('[server.crm]');
    expect(await readFile(config, 'utf8')).toBe(written);
  });

  test('before the role exists prints how it is made, and works when that was run', async () => {
    const cluster = await startCluster({ major, roles: false });
    const name = 'back up';
    const { config, options } = await place(cluster, cluster.connectionString({ user: name }));
    const ran = await run(config, ...options);
    expect(ran.code).toBe(1);
    const isOld = major < 15;
    const parts = ran.stdout.split('-- ');
    const part = (beginning: string): string =>
      parts
        .find((text) => text.startsWith(beginning))
        ?.split('\n')
        .slice(1)
        .join('\n') ?? '';
    const creation = part(`if role ${name} does not exist yet`);
    const grants = part(isOld ? 'or on PostgreSQL 13 and 14' : 'and on PostgreSQL 15 and newer');
    expect(creation).toContain(`CREATE ROLE "${name}" LOGIN REPLICATION PASSWORD`);
    const statements = `${creation}${grants}`.match(/(?:CREATE|GRANT) .*;/g) ?? [];
    await cluster.sql(statements.join('\n').replace('…', TEST_PASSWORD));
    expect(documentOf(await run(config, 'init', '--json'))).toMatchObject({
      slot: { created: true },
      missing: [],
    });
    expect((await run(config, 'check')).code).toBe(0);
  });

  test('works with a superuser, and says how a smaller role is made', async () => {
    const cluster = await startCluster({ major, roles: false });
    const { config, options } = await place(cluster, cluster.connectionString());
    const { code, stdout } = await run(config, ...options);
    expect(code).toBe(0);
    expect(stdout).toContain('The server needs nothing more.');
    const statements = stdout.split('\n').filter((line) => /^ {2}(CREATE|GRANT)/.test(line));
    expect(statements[0]).toContain('CREATE ROLE walnut LOGIN REPLICATION');
    // As printed, they make a role that passes the check; the password is the only thing left to choose.
    await cluster.sql(statements.join('\n').replace('…', TEST_PASSWORD));
    const again = await readFile(config, 'utf8');
    const superuser = cluster.connectionString();
    const role = cluster.connectionString({ user: 'walnut' });
    expect(again).toContain(superuser);
    await writeFile(config, again.replace(superuser, role));
    expect(documentOf(await run(config, 'init', '--json')).missing).toEqual([]);
    expect((await run(config, 'check')).code).toBe(0);
  });

  test('accepts another cluster under the name only when told to', async () => {
    const cluster = await startCluster({ major });
    const { config, options } = await place(cluster, cluster.connectionString({ user: 'walnut' }));
    await run(config, ...options);
    const other = await startCluster({ major });
    const text = await readFile(config, 'utf8');
    const [from, to] = [cluster, other].map((one) => one.connectionString({ user: 'walnut' }));
    await writeFile(config, text.replace(from ?? '', to ?? ''));
    const refused = await run(config, 'init');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('walnut init shop --new-incarnation');
    const accepted = documentOf(await run(config, 'init', 'shop', '--new-incarnation', '--json'));
    expect(accepted).toMatchObject({ newIncarnation: true, slot: { created: true } });
    expect(documentOf(await run(config, 'init', '--json')).newIncarnation).toBe(false);
  });
});

describe('init', () => {
  test('names what keeps it from connecting, shows no password, and can be run again', async () => {
    const cluster = await startCluster({ major: 18 });
    const wrong = cluster.connectionString({ user: 'walnut', password: 'not-the-password' });
    const { config, options } = await place(cluster, wrong);
    const ran = await run(config, ...options, '--json');
    expect(ran.code).toBe(1);
    expect(documentOf(ran)).toMatchObject({
      configWritten: true,
      slot: null,
    });
    const [fix] = documentOf(ran).missing;
    expect(fix).toMatchObject({
      kind: 'sql',
      text: expect.stringContaining('ALTER ROLE walnut PASSWORD') as string,
    });
    expect(ran.stdout + ran.stderr).not.toContain('not-the-password');
    expect(ran.stderr).toContain('--password-file');
    const passwordFile = join(cluster.workFolder, 'password');
    await writeFile(passwordFile, `${TEST_PASSWORD}\n`, { mode: 0o600 });
    const apart = new URL(cluster.connectionString({ user: 'walnut' }));
    apart.password = '';
    const second = join(cluster.workFolder, 'second.toml');
    const repository = join(cluster.workFolder, 'second');
    const words = ['--connection', apart.href, '--repository', repository];
    const fixed = await run(second, 'init', ...words, '--password-file', passwordFile, '--json');
    expect(documentOf(fixed)).toMatchObject({ server: 'main', missing: [] });
  });

  test('refuses a folder that holds something else, and an impossible server name', async () => {
    const cluster = await startCluster({ major: 18 });
    const { config, options } = await place(cluster, cluster.connectionString({ user: 'walnut' }));
    const full = ['--repository', cluster.dataFolder];
    const refused = await run(config, ...options.slice(0, -2), ...full);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('the folder is not empty');
    await expect(stat(config)).rejects.toMatchObject({ code: 'ENOENT' });
    const named = await run(`${config}.2`, 'init', 'Shop', ...options.slice(2));
    expect(named.code).toBe(2);
    expect(named.stderr).toContain('"Shop" cannot name a server');
  });

  test('needs to be told how to reach the server when nobody can be asked', async () => {
    const { code, stderr } = await run('/no/such/folder/walnut.toml', 'init', '--yes');
    expect(code).toBe(2);
    expect(stderr).toContain('--connection');
  });
});
