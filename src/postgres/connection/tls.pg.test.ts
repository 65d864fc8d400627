import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chown, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCluster, TEST_PASSWORD, type TestCluster } from '../../../test/support/cluster.ts';
import { sleep } from '../../lib/sleep.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { isRoot } from '../../sandbox/unprivileged-user.ts';
import { readConnectionSettings } from './connection-settings.ts';
import { openSession } from './open-session.ts';

const SSL_REQUEST_BYTES = 8;

/** Makes certificates in a folder: two CAs, a server's for `localhost` only, a self-signed one, a client's. */
class Certificates {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    for (const ca of ['ca', 'other']) this.#selfSigned(ca, `/CN=${ca}`, []);
    this.#selfSigned('self', '/CN=localhost', ['-addext', 'subjectAltName=DNS:localhost']);
    this.#signed('server', '/CN=localhost', 'subjectAltName=DNS:localhost');
    this.#signed('client', '/CN=certified', 'extendedKeyUsage=clientAuth');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  #selfSigned(name: string, subject: string, more: readonly string[]): void {
    const files = ['-keyout', this.path(`${name}.key`), '-out', this.path(`${name}.crt`)];
    this.#openssl('req', '-x509', '-days', '2', '-subj', subject, ...KEY, ...files, ...more);
  }

  #signed(name: string, subject: string, extension: string): void {
    const request = this.path(`${name}.csr`);
    const files = ['-keyout', this.path(`${name}.key`), '-out', request];
    this.#openssl('req', '-new', '-subj', subject, ...KEY, ...files, '-addext', extension);
    const issuer = ['-CA', this.path('ca.crt'), '-CAkey', this.path('ca.key'), '-CAcreateserial'];
    const out = ['-in', request, '-out', this.path(`${name}.crt`), '-copy_extensions', 'copy'];
    this.#openssl('x509', '-req', '-days', '2', ...issuer, ...out);
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe' });
  }
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

type Outcome = { readonly encrypted: boolean } | { readonly error: string };

describe('TLS', () => {
  let cluster: TestCluster;
  let certificates: Certificates;

  beforeAll(async () => {
    cluster = await testCluster({
      major: 18,
      hbaLines: [
        'hostnossl all onlyssl all reject',
        'hostssl all nossl all reject',
        'hostssl all certified all cert',
        'host all md5user all md5',
      ],
    });
    certificates = new Certificates(cluster.workFolder);
    const { user } = cluster.server;
    for (const name of ['server', 'self', 'ca']) {
      if (isRoot()) await chown(certificates.path(`${name}.key`), user.uid, user.gid);
    }
    await cluster.sql(
      [
        `create role onlyssl login password '${TEST_PASSWORD}'`,
        `create role nossl login password '${TEST_PASSWORD}'`,
        'create role certified login',
        `set password_encryption = md5`,
        `create role md5user login password '${TEST_PASSWORD}'`,
      ].join(';'),
    );
  });

  afterAll(async () => {
    await cluster.dispose();
  });

  async function serve(certificate: 'server' | 'self' | null): Promise<void> {
    const name = certificate ?? 'server';
    for (const [setting, value] of [
      ['ssl', certificate === null ? 'off' : 'on'],
      ['ssl_cert_file', certificates.path(`${name}.crt`)],
      ['ssl_key_file', certificates.path(`${name}.key`)],
      ['ssl_ca_file', certificates.path('ca.crt')],
    ]) {
      await cluster.sql(`alter system set ${setting} = '${value}'`);
    }
    await cluster.sql('select pg_reload_conf()');
    const wanted = `${certificate === null ? 'off' : 'on'} ${certificates.path(`${name}.crt`)}`;
    const current = `select current_setting('ssl') || ' ' || current_setting('ssl_cert_file')`;
    while ((await cluster.value(current)) !== wanted) await sleep(20);
  }

  type Attempt = {
    readonly parameters: string;
    readonly host?: string;
    readonly user?: string;
    readonly port?: number | undefined;
  };

  async function attempt({
    parameters,
    host = 'localhost',
    user,
    port,
  }: Attempt): Promise<Outcome> {
    const { port: serverPort } = cluster.server;
    const settings = readConnectionSettings(
      `host=${host} hostaddr=127.0.0.1 port=${port ?? serverPort} user=${user ?? 'walnut'} dbname=postgres ` +
        `password='${TEST_PASSWORD}' ${parameters}`,
      {
        environment: {},
        homeFolder: '/nonexistent',
        userName: 'nobody',
        readFile: () => null,
        exists: () => false,
      },
    );
    try {
      const session = await openSession(settings, { applicationName: 'walnut test' });
      const [row] = await session.query<{ ssl: boolean }>(
        'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
      );
      expect(session.encryption !== null).toBe(row?.ssl);
      await session.close();
      return { encrypted: row?.ssl ?? false };
    } catch (error) {
      if (error instanceof WalnutError) return { error: `${error.message} ${error.hint}` };
      throw error;
    }
  }

  const PLAIN = { encrypted: false };
  const ENCRYPTED = { encrypted: true };
  const untrusted = {
    error: expect.stringMatching(/not signed by a trusted CA.*sslrootcert/s) as string,
  };
  const noTls = { error: expect.stringContaining('does not support TLS') as string };
  const wrongName = { error: expect.stringContaining('not for host name "127.0.0.1"') as string };
  const noRoot = { error: expect.stringContaining('no root certificate is known') as string };
  const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;

  // https://www.postgresql.org/docs/18/libpq-ssl.html; columns in the order of MODES.
  const TABLE = [
    {
      name: 'a certificate of the right CA',
      serves: 'server',
      root: 'ca.crt',
      expected: [PLAIN, PLAIN, ENCRYPTED, ENCRYPTED, ENCRYPTED, ENCRYPTED],
    },
    {
      name: 'a certificate for another host name',
      serves: 'server',
      root: 'ca.crt',
      host: '127.0.0.1',
      expected: [PLAIN, PLAIN, ENCRYPTED, ENCRYPTED, ENCRYPTED, wrongName],
    },
    {
      name: 'a certificate of another CA',
      serves: 'server',
      root: 'other.crt',
      expected: [PLAIN, PLAIN, ENCRYPTED, untrusted, untrusted, untrusted],
    },
    {
      name: 'a self-signed certificate',
      serves: 'self',
      root: 'ca.crt',
      expected: [PLAIN, PLAIN, ENCRYPTED, untrusted, untrusted, untrusted],
    },
    {
      name: 'a self-signed certificate that is the root',
      serves: 'self',
      root: 'self.crt',
      expected: [PLAIN, PLAIN, ENCRYPTED, ENCRYPTED, ENCRYPTED, ENCRYPTED],
    },
    {
      name: 'a certificate and no root here',
      serves: 'self',
      root: null,
      expected: [PLAIN, PLAIN, ENCRYPTED, ENCRYPTED, noRoot, noRoot],
    },
    {
      name: 'no TLS',
      serves: null,
      root: 'ca.crt',
      expected: [PLAIN, PLAIN, PLAIN, noTls, noTls, noTls],
    },
  ] as const;

  test.each(TABLE)(
    'sslmode with a server that has $name',
    async ({ serves, root, expected, ...rest }) => {
      await serve(serves);
      const outcomes: Outcome[] = [];
      for (const mode of MODES) {
        const rootCertificate = root === null ? '' : `sslrootcert=${certificates.path(root)}`;
        outcomes.push(await attempt({ ...rest, parameters: `sslmode=${mode} ${rootCertificate}` }));
      }
      expect(outcomes).toEqual(expected);
    },
  );

  test('allow and prefer make their second attempt when pg_hba.conf wants the other kind', async () => {
    await serve('server');
    expect(await attempt({ user: 'onlyssl', parameters: 'sslmode=allow' })).toEqual(ENCRYPTED);
    expect(await attempt({ user: 'nossl', parameters: 'sslmode=prefer' })).toEqual(PLAIN);
    const refused = { error: expect.stringContaining('pg_hba.conf rejects') as string };
    expect(await attempt({ user: 'onlyssl', parameters: 'sslmode=disable' })).toEqual(refused);
    expect(await attempt({ user: 'nossl', parameters: 'sslmode=require' })).toEqual(refused);
  });

  test('a client certificate logs its role in', async () => {
    await serve('server');
    const files = `sslcert=${certificates.path('client.crt')} sslkey=${certificates.path('client.key')}`;
    const parameters = `sslmode=require ${files}`;
    expect(await attempt({ user: 'certified', parameters })).toEqual(ENCRYPTED);
    const without = { error: expect.stringContaining('certificate') as string };
    expect(await attempt({ user: 'certified', parameters: 'sslmode=require' })).toEqual(without);
  });

  test('direct TLS works with 17 and newer', async () => {
    await serve('server');
    const parameters = `sslmode=verify-full sslnegotiation=direct sslrootcert=${certificates.path('ca.crt')}`;
    expect(await attempt({ parameters })).toEqual(ENCRYPTED);
  });

  test('channel binding is used where it is required, and its lack refused', async () => {
    await serve('server');
    const binding = { error: expect.stringContaining('channel_binding=require') as string };
    const required = 'channel_binding=require';
    expect(await attempt({ parameters: `sslmode=require ${required}` })).toEqual(ENCRYPTED);
    expect(await attempt({ parameters: `sslmode=disable ${required}` })).toEqual(binding);
    expect(await attempt({ user: 'md5user', parameters: `sslmode=require ${required}` })).toEqual(
      binding,
    );
  });

  test('channel binding finds an impostor that passes everything on', async () => {
    await serve('server');
    const impostor = await startImpostor(certificates, cluster.server.port ?? 0);
    const { port } = impostor.address() as AddressInfo;
    try {
      const found = { error: expect.stringContaining('channel binding check failed') as string };
      expect(await attempt({ port, parameters: 'sslmode=require' })).toEqual(found);
      const blind = 'sslmode=require channel_binding=disable';
      expect(await attempt({ port, parameters: blind })).toEqual(ENCRYPTED);
    } finally {
      impostor.close();
    }
  });

  test('a certificate file that is missing or broken is named', async () => {
    const missing = {
      error: expect.stringContaining('/nix.crt: the file does not exist') as string,
    };
    expect(await attempt({ parameters: 'sslmode=verify-ca sslrootcert=/nix.crt' })).toEqual(
      missing,
    );
    await writeFile(certificates.path('broken.crt'), 'no certificate');
    const parameters = `sslmode=verify-ca sslrootcert=${certificates.path('broken.crt')}`;
    expect(await attempt({ parameters })).toMatchObject({ error: expect.any(String) as string });
  });
});

/** Ends TLS with a certificate of its own and passes the plain bytes on over a TLS connection to the server. */
async function startImpostor(certificates: Certificates, serverPort: number): Promise<Server> {
  const secureContext = createSecureContext({
    cert: readFileSync(certificates.path('self.crt')),
    key: readFileSync(certificates.path('self.key')),
  });
  const server = createServer((client) => {
    client.on('error', () => {});
    client.once('data', (request) => {
      expect(request).toHaveLength(SSL_REQUEST_BYTES);
      const upstream = connect(serverPort, '127.0.0.1');
      upstream.on('error', () => {});
      upstream.write(request);
      upstream.once('data', () => {
        client.write('S');
        joinSockets(
          new TLSSocket(client, { isServer: true, secureContext }),
          connectTls({ socket: upstream, rejectUnauthorized: false }),
        );
      });
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

function joinSockets(first: Socket, second: Socket): void {
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    from.on('error', () => to.destroy());
    from.pipe(to);
  }
}
