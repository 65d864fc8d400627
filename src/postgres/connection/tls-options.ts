import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, getCACertificates, type ConnectionOptions } from 'node:tls';
import { messageOf, WalnutError } from '../../lib/walnut-error.ts';
import type { HostAddress } from './host-list.ts';
import type { SslMode, TlsSettings } from './tls-settings.ts';

/**
 * The encryption of one connection attempt: `required` fails where the server has no TLS.
 * `prefer` and `allow` become two attempts, since `pg` knows no second one of its own.
 */
export type Encryption = 'none' | 'required';

/** The attempts that an sslmode stands for, in order. Unix sockets are never encrypted, as in libpq. */
export function encryptionAttempts(mode: SslMode, { host }: HostAddress): readonly Encryption[] {
  if (host.startsWith('/')) return ['none'];
  if (mode === 'disable') return ['none'];
  if (mode === 'allow') return ['none', 'required'];
  if (mode === 'prefer') return ['required', 'none'];
  return ['required'];
}

/** What a mode checks of the server's certificate. Source: https://www.postgresql.org/docs/18/libpq-ssl.html */
export function certificateChecks(
  mode: SslMode,
  hasRootCertificate: boolean,
): { readonly authority: boolean; readonly hostName: boolean } {
  return {
    // "require" behaves like verify-ca when a root certificate is there, for backwards compatibility.
    authority:
      mode === 'verify-ca' || mode === 'verify-full' || (mode === 'require' && hasRootCertificate),
    hostName: mode === 'verify-full',
  };
}

/** The TLS options for one host; reads the certificate files anew, so that renewed ones count. */
export function tlsOptions(
  settings: TlsSettings,
  { host, hostaddr }: HostAddress,
): ConnectionOptions {
  const checks = certificateChecks(settings.mode, settings.rootCertificate !== null);
  const options: ConnectionOptions = {
    rejectUnauthorized: checks.authority,
    minVersion: settings.minVersion,
    checkServerIdentity: (_name, certificate) =>
      checks.hostName ? checkServerIdentity(host, certificate) : undefined,
  };
  if (checks.authority) options.ca = trustedCertificates(settings);
  if (settings.maxVersion !== null) options.maxVersion = settings.maxVersion;
  if (settings.revocationList !== null && checks.authority) {
    options.crl = readTlsFile('certificate revocation list', settings.revocationList);
  }
  if (settings.certificate !== null) Object.assign(options, clientCertificate(settings));
  // With hostaddr `pg` connects to an address and so sends no name of its own.
  if (hostaddr !== null && settings.sendServerName && isIP(host) === 0) options.servername = host;
  return options;
}

function trustedCertificates({ rootCertificate, mode }: TlsSettings): string | string[] {
  if (rootCertificate === 'system') {
    const system = getCACertificates('system');
    return system.length > 0 ? system : getCACertificates('default');
  }
  if (rootCertificate === null) {
    throw new WalnutError('config', 'check the server certificate: no root certificate is known', {
      hint: `Set sslrootcert to the file of the server's CA, or sslrootcert=system, for sslmode=${mode}.`,
    });
  }
  return readTlsFile('root certificate', rootCertificate);
}

function clientCertificate({ certificate, key, keyPassword }: TlsSettings): ConnectionOptions {
  if (certificate === null) return {};
  if (key === null) {
    throw new WalnutError('config', `use client certificate ${certificate}: no private key`, {
      hint: 'Set sslkey to the file of the private key.',
    });
  }
  return {
    cert: readTlsFile('client certificate', certificate),
    key: readTlsFile('private key', key),
    ...(keyPassword === null ? {} : { passphrase: keyPassword }),
  };
}

function readTlsFile(what: string, path: string): string {
  if (!existsSync(path)) {
    throw new WalnutError('config', `read ${what} ${path}: the file does not exist`);
  }
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new WalnutError('config', `read ${what} ${path}: ${messageOf(cause)}`, { cause });
  }
}
