import { describe, expect, test } from 'vitest';
import type { HostAddress } from './host-list.ts';
import { certificateChecks, encryptionAttempts } from './tls-options.ts';

const host = (name: string): HostAddress => ({
  host: name,
  port: 5432,
  hostaddr: null,
  isDefaultSocket: false,
  password: null,
  replicationPassword: null,
});

// https://www.postgresql.org/docs/18/libpq-ssl.html, table 32.1
describe('sslmode', () => {
  test.each([
    ['disable', ['none'], false, false],
    ['allow', ['none', 'required'], false, false],
    ['prefer', ['required', 'none'], false, false],
    ['require', ['required'], false, false],
    ['verify-ca', ['required'], true, false],
    ['verify-full', ['required'], true, true],
  ] as const)('%s', (...[mode, attempts, authority, hostName]) => {
    expect(encryptionAttempts(mode, host('db'))).toEqual(attempts);
    expect(encryptionAttempts(mode, host('/tmp'))).toEqual(['none']);
    expect(certificateChecks(mode, false)).toEqual({ authority, hostName });
  });

  test('require verifies the CA where a root certificate is there', () => {
    expect(certificateChecks('require', true)).toEqual({ authority: true, hostName: false });
    expect(certificateChecks('prefer', true)).toEqual({ authority: false, hostName: false });
  });
});
