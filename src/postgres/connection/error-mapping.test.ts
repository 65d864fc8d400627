import { describe, expect, test } from 'vitest';
import { hbaLine } from './authorization-hints.ts';
import type { ConnectAttempt } from './connect-attempt.ts';
import { connectError, sqlStateOf, statementError } from './error-mapping.ts';
import { parseServerMessage, ServerError } from './server-error.ts';

const attempt: ConnectAttempt = {
  target: 'db1:5432',
  host: 'db1',
  port: 5432,
  user: 'walnut',
  database: 'postgres',
  replication: 'none',
  encrypted: true,
};

function serverError(code: string, message: string, routine: string | null = null): ServerError {
  return new ServerError({ severity: 'FATAL', code, message, detail: null, hint: null, routine });
}

function systemError(code: string, message = code): Error {
  return Object.assign(new Error(message), { code });
}

describe('a failed connection', () => {
  test.each([
    [serverError('28P01', 'x'), 'authentication', 'ALTER ROLE walnut PASSWORD'],
    [serverError('28000', 'role "walnut" does not exist'), 'authentication', 'CREATE ROLE walnut'],
    [
      serverError('28000', 'role "walnut" is not permitted to log in', 'InitializeSessionUserId'),
      'authentication',
      'ALTER ROLE walnut LOGIN;',
    ],
    [serverError('3D000', 'database "x" does not exist'), 'connection', 'Name a database'],
    [serverError('57P03', 'the database system is starting up'), 'connection', 'try again'],
    [serverError('53300', 'sorry, too many clients already'), 'connection', 'max_connections'],
    [
      serverError('53300', 'number of requested standby connections exceeds max_wal_senders'),
      'connection',
      'max_wal_senders',
    ],
    [systemError('ECONNREFUSED'), 'connection', 'listen_addresses'],
    [systemError('ENOTFOUND'), 'connection', 'host name'],
    [systemError('ENOENT'), 'connection', 'unix_socket_directories'],
    [systemError('ETIMEDOUT'), 'connection', 'firewalls'],
    [new Error('timeout expired'), 'connection', 'connect_timeout'],
    [new Error('no password supplied'), 'authentication', '~/.pgpass'],
    [new Error('The server does not support SSL connections'), 'connection', 'ssl = on'],
    [systemError('SELF_SIGNED_CERT_IN_CHAIN'), 'connection', 'sslrootcert'],
    [systemError('DEPTH_ZERO_SELF_SIGNED_CERT'), 'connection', 'sslrootcert'],
    [systemError('CERT_HAS_EXPIRED'), 'connection', 'Renew'],
    [systemError('ERR_TLS_CERT_ALTNAME_INVALID'), 'connection', 'verify-ca'],
    [systemError('ERR_SSL_WRONG_VERSION_NUMBER'), 'connection', 'ssl_min_protocol_version'],
  ])('%s shows its fix', (cause, code, hint) => {
    const error = connectError(cause, attempt);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/^connect to db1:5432: /);
    expect(error.hint).toContain(hint);
    expect(error.cause).toBe(cause);
  });

  test('a role without REPLICATION gets the statement, quoted', () => {
    const error = connectError(
      serverError('42501', 'must be superuser or replication role to start walsender'),
      { ...attempt, user: 'Wal"nut', replication: 'physical' },
    );
    expect(error.code).toBe('permission');
    expect(error.hint).toContain('ALTER ROLE "Wal""nut" REPLICATION;');
  });

  test.each([
    ['none', 'hostssl   postgres   walnut   10.1.2.3/32   scram-sha-256'],
    ['database', 'hostssl   postgres   walnut   10.1.2.3/32   scram-sha-256'],
    ['physical', 'hostssl   replication   walnut   10.1.2.3/32   scram-sha-256'],
  ] as const)('a missing pg_hba.conf line for %s is printed', (replication, line) => {
    const message = 'no pg_hba.conf entry for host "10.1.2.3", user "walnut", SSL encryption';
    const error = connectError(serverError('28000', message, 'ClientAuthentication'), {
      ...attempt,
      replication,
    });
    expect(error.hint).toContain(line);
  });

  test('the line is right in another language, for IPv6, sockets and odd names', () => {
    expect(hbaLine('kein pg_hba.conf-Eintrag für Host »fe80::1«', attempt)).toContain(
      '<address of this host>',
    );
    expect(hbaLine('… for host "2001:db8::1" …', { ...attempt, encrypted: false })).toBe(
      'host   postgres   walnut   2001:db8::1/128   scram-sha-256',
    );
    expect(hbaLine('', { ...attempt, host: '/tmp', database: 'all', user: 'A b' })).toBe(
      'local   "all"   "A b"   scram-sha-256',
    );
  });
});

describe('a failed statement', () => {
  test.each([
    ['42501', 'permission'],
    ['57P01', 'connection'],
    ['08006', 'connection'],
    ['0A000', 'unsupported'],
    ['53100', 'disk-full'],
    ['22012', 'postgresql'],
  ])('SQLSTATE %s becomes %s', (state, code) => {
    const error = statementError(serverError(state, 'broken'), 'count sheep');
    expect(error).toMatchObject({ code, message: 'count sheep: broken' });
    expect(sqlStateOf(error)).toBe(state);
  });

  test('EPIPE is no SQLSTATE', () => {
    const error = statementError(systemError('EPIPE'), 'count sheep');
    expect(error.code).toBe('connection');
    expect(sqlStateOf(error)).toBeNull();
  });
});

describe('an error message of the server', () => {
  const body = Buffer.from('SERREUR\0VERROR\0C42P01\0Mpas trouvé\0Hhint\0Rroutine\0\0');

  test('is read field by field, severity untranslated', () => {
    expect(parseServerMessage(body)).toEqual({
      severity: 'ERROR',
      code: '42P01',
      message: 'pas trouvé',
      detail: null,
      hint: 'hint',
      routine: 'routine',
    });
  });

  test('gives something wherever it is cut', () => {
    for (let length = 0; length < body.length; length += 1) {
      expect(parseServerMessage(body.subarray(0, length)).message).not.toBe('');
    }
  });
});
