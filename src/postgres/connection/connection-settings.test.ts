import { describe, expect, test } from 'vitest';
import { hasCode } from '../../lib/walnut-error.ts';
import {
  describeConnection,
  readConnectionSettings,
  type ConnectionSettings,
} from './connection-settings.ts';
import type { ConnectionSources } from './connection-sources.ts';

type Fakes = {
  readonly environment?: Record<string, string>;
  readonly files?: Record<string, { text: string; mode?: number }>;
};

function sources({ environment = {}, files = {} }: Fakes = {}): ConnectionSources {
  return {
    environment,
    homeFolder: '/home/ann',
    userName: 'ann',
    readFile: (path) => {
      const file = files[path];
      return file === undefined ? null : { text: file.text, mode: file.mode ?? 0o600 };
    },
    exists: (path) => path in files || path === '/var/run/postgresql',
  };
}

function read(text: string, fakes?: Fakes): ConnectionSettings {
  return readConnectionSettings(text, sources(fakes));
}

function failure(text: string, fakes?: Fakes): { message: string; hint: string | undefined } {
  try {
    read(text, fakes);
  } catch (error) {
    if (hasCode(error, 'config')) return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error(`"${text}" was accepted`);
}

const places = (text: string, fakes?: Fakes): string[] =>
  read(text, fakes).hosts.map(({ host, port }) => `${host} ${port}`);

describe('connection settings', () => {
  test('an empty text gives the defaults of libpq', () => {
    expect(read('')).toMatchObject({
      user: 'ann',
      database: 'ann',
      password: null,
      hosts: [{ host: '/var/run/postgresql', port: 5432 }],
      targetSessionAttrs: 'any',
      tls: { mode: 'prefer', negotiation: 'postgres', channelBinding: 'prefer' },
    });
  });

  test.each([
    ['postgresql://db1', ['db1 5432']],
    ['postgres://db1:5433/x', ['db1 5433']],
    ['postgresql://a:1,b,c:3/x', ['a 1', 'b 5432', 'c 3']],
    ['postgresql://[2001:db8::1]:5433/x', ['2001:db8::1 5433']],
    ['postgresql://%2Ftmp%2Fsock:99/x', ['/tmp/sock 99']],
    ['postgresql:///x?host=/tmp&port=6000', ['/tmp 6000']],
    ['host=a,b port=7', ['a 7', 'b 7']],
    ['host=a,b port=7,8', ['a 7', 'b 8']],
    ['hostaddr=10.0.0.1', ['10.0.0.1 5432']],
    ["host = 'a' port= 5 dbname =x", ['a 5']],
  ])('%s names its hosts', (text, expected) => {
    expect(places(text)).toEqual(expected);
  });

  test('a URL is percent-decoded, and its parameters count', () => {
    const settings = read(
      'postgresql://an%40n:p%3Aw%2F@db/na%20me?sslmode=verify-full&sslrootcert=%2Fca.pem&application_name=w&connect_timeout=3&options=-c%20x%3D1',
    );
    expect(settings).toMatchObject({
      user: 'an@n',
      password: 'p:w/',
      database: 'na me',
      applicationName: 'w',
      connectTimeoutMs: 3000,
      options: '-c x=1',
      tls: { mode: 'verify-full', rootCertificate: '/ca.pem' },
    });
  });

  test('JDBC writes ssl=true', () => {
    expect(read('postgresql://db/x?ssl=true').tls.mode).toBe('require');
  });

  test('quoted keyword values hold spaces, quotes and backslashes', () => {
    const settings = read(`user='a b' password='it\\'s \\\\' dbname=x\\ y`);
    expect(settings).toMatchObject({ user: 'a b', password: `it's \\`, database: 'x y' });
  });

  test('the environment fills what the text leaves out, a service comes between', () => {
    const fakes = {
      environment: {
        PGHOST: 'env',
        PGPORT: '1',
        PGUSER: 'env',
        PGSERVICE: 'shop',
        PGTARGETSESSIONATTRS: 'standby',
      },
      files: {
        '/home/ann/.pg_service.conf': {
          text: '# c\n[other]\nhost=no\n[shop]\nhost=service\nuser=service\n[x]\n',
        },
      },
    };
    const settings = read('user=text', fakes);
    expect(settings).toMatchObject({
      user: 'text',
      hosts: [{ host: 'service', port: 1 }],
      targetSessionAttrs: 'standby',
    });
  });

  test('the password file gives each host its own password, and replication another', () => {
    const text = [
      '# comment',
      'a:5432:*:ann:no\\:t this user',
      'a:5432:x:u:pa\\:ss\\\\',
      'a:*:replication:u:repl',
      '*:*:*:u:any',
    ].join('\n');
    const files = { '/home/ann/.pgpass': { text } };
    const { hosts, password } = read('host=a,b user=u dbname=x', { files });
    expect(password).toBeNull();
    expect(hosts).toMatchObject([
      { host: 'a', password: 'pa:ss\\', replicationPassword: 'repl' },
      { host: 'b', password: 'any', replicationPassword: 'any' },
    ]);
  });

  test('the password file calls the default socket localhost', () => {
    const files = { '/home/ann/.pgpass': { text: 'localhost:*:*:*:sock' } };
    expect(read('', { files }).hosts[0]?.password).toBe('sock');
  });

  test('a password file that others may read is refused when it would count', () => {
    const files = { '/p': { text: '*:*:*:*:x', mode: 0o644 } };
    expect(failure('passfile=/p', { files })).toEqual({
      message: 'read password file /p: others may read it',
      hint: 'chmod 600 /p',
    });
    expect(read('passfile=/p password=y', { files }).password).toBe('y');
  });

  test('certificates in the home folder count where they exist', () => {
    const files = {
      '/home/ann/.postgresql/root.crt': { text: '' },
      '/home/ann/.postgresql/postgresql.crt': { text: '' },
      '/home/ann/.postgresql/postgresql.key': { text: '' },
    };
    expect(read('', { files }).tls).toMatchObject({
      rootCertificate: '/home/ann/.postgresql/root.crt',
      certificate: '/home/ann/.postgresql/postgresql.crt',
      key: '/home/ann/.postgresql/postgresql.key',
      revocationList: null,
    });
    expect(read('sslcertmode=disable', { files }).tls.certificate).toBeNull();
  });

  test('sslrootcert=system means verify-full', () => {
    expect(read('sslrootcert=system').tls.mode).toBe('verify-full');
    expect(failure('sslrootcert=system sslmode=require').message).toContain('weak sslmode');
  });

  test('a message shows no password', () => {
    const settings = read('postgresql://ann:secret@a,[::1]:5433/x');
    expect(describeConnection(settings)).toBe('postgresql://ann@a:5432,[::1]:5433/x');
  });

  test.each([
    ['sslmod=require', 'unknown connection keyword "sslmod"', 'Did you mean "sslmode"?'],
    ['postgresql://a/x?hst=b', 'unknown connection keyword "hst"', 'Did you mean "host"?'],
    ['sslmode=strict', 'invalid sslmode value "strict"', 'verify-full'],
    ['sslnegotiation=direct', 'weak sslmode "prefer"', 'sslmode=require'],
    ['target_session_attrs=master', 'invalid target_session_attrs', 'prefer-standby'],
    ['connect_timeout=soon', 'invalid connect_timeout value "soon"', 'whole number'],
    ['require_auth=md5', 'does not support "require_auth"', 'Remove'],
    ['gssencmode=require', 'GSSAPI', 'TLS'],
    ['host=a,b,c port=1,2', '2 ports for 3 hosts', 'one port'],
    ['host=a,b hostaddr=10.0.0.1', '2 hosts but 1 values', 'port'],
    ['hostaddr=db1', 'not an IP address', 'host'],
    ['service=none', 'no such group', 'pg_service.conf'],
  ])('%s is refused with its fix', (text, message, hint) => {
    const found = failure(text);
    expect(found.message).toContain(message);
    expect(found.hint).toContain(hint);
  });

  test.each([
    'postgresql://a:port/x',
    'postgresql://a:70000/x',
    'postgresql://[::1/x',
    'postgresql://[]/x',
    'postgresql://[::1]x/y',
    'postgresql://a/%zz',
    'postgresql://a/x%00',
    'postgresql://a/x?user',
    'postgresql://a/x?user=a=b',
    'just words',
    'user',
    "user='open",
    'host=@abstract',
  ])('%s is refused', (text) => {
    expect(failure(text).message).toMatch(/^read /);
  });

  test('an unused variable that asks for more safety than Walnut gives is refused', () => {
    expect(failure('', { environment: { PGREQUIREAUTH: 'md5' } }).message).toContain(
      'require_auth',
    );
  });

  test('a broken text never shows its password', () => {
    const texts = ['postgresql://u:s3cret@[x/y', "password='s3cret", 'password=s3cret user'];
    for (const text of texts) {
      expect(JSON.stringify(failure(text))).not.toContain('s3cret');
    }
  });
});

describe('a service file', () => {
  test.each([
    ['[shop]\nhots=a', 'unknown connection keyword "hots"'],
    ['[shop]\nhost', 'line 2: expected keyword=value'],
    ['[shop]\nservice=b', 'may not stand inside a service'],
  ])('%j is refused by its line', (text, message) => {
    const files = { '/home/ann/.pg_service.conf': { text } };
    expect(failure('service=shop', { files }).message).toContain(message);
  });
});
