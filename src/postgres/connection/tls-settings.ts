import { join } from 'node:path';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { KeywordValues } from './connection-keywords.ts';
import type { ConnectionSources } from './connection-sources.ts';
import { oneOf, wholeNumber } from './keyword-values.ts';

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

const TLS_VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
type TlsVersion = (typeof TLS_VERSIONS)[number];

/** Everything about encryption; paths are absolute or as the user wrote them, read when a session opens. */
export type TlsSettings = {
  readonly mode: SslMode;
  readonly negotiation: 'postgres' | 'direct';
  /** A file of trusted certificates, `system` for the operating system's, null for none. */
  readonly rootCertificate: string | null;
  readonly certificate: string | null;
  readonly key: string | null;
  readonly keyPassword: string | null;
  readonly revocationList: string | null;
  readonly sendServerName: boolean;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion | null;
  readonly channelBinding: 'disable' | 'prefer' | 'require';
};

/** Reads the `ssl…` keywords; the default files below `~/.postgresql` count where they exist, as in libpq. */
export function parseTlsSettings(values: KeywordValues, sources: ConnectionSources): TlsSettings {
  const folder = join(sources.homeFolder, '.postgresql');
  const file = (name: string, standard: string): string | null => {
    const given = values.get(name);
    if (given !== undefined && given !== '') return given;
    const path = join(folder, standard);
    return sources.exists(path) ? path : null;
  };
  const rootCertificate = file('sslrootcert', 'root.crt');
  const mode = parseMode(values, rootCertificate);
  const negotiation = parseNegotiation(values, mode);
  const certificate =
    oneOf(values, 'sslcertmode', ['disable', 'allow', 'require'] as const) === 'disable'
      ? null
      : file('sslcert', 'postgresql.crt');
  return {
    mode,
    negotiation,
    rootCertificate,
    certificate,
    key: certificate === null ? null : file('sslkey', 'postgresql.key'),
    keyPassword: values.get('sslpassword') || null,
    revocationList: file('sslcrl', 'root.crl'),
    sendServerName: wholeNumber(values, 'sslsni') !== 0,
    minVersion: oneOf(values, 'ssl_min_protocol_version', TLS_VERSIONS) ?? 'TLSv1.2',
    maxVersion: oneOf(values, 'ssl_max_protocol_version', TLS_VERSIONS),
    channelBinding:
      oneOf(values, 'channel_binding', ['disable', 'prefer', 'require'] as const) ?? 'prefer',
  };
}

function parseMode(values: KeywordValues, rootCertificate: string | null): SslMode {
  const mode = oneOf(values, 'sslmode', SSL_MODES);
  if (rootCertificate !== 'system') return mode ?? 'prefer';
  if (mode !== null && mode !== 'verify-full') {
    throw new WalnutError(
      'config',
      `read connection settings: weak sslmode "${mode}" may not be used with sslrootcert=system`,
      { hint: 'Use sslmode=verify-full.' },
    );
  }
  return 'verify-full';
}

function parseNegotiation(values: KeywordValues, mode: SslMode): 'postgres' | 'direct' {
  const negotiation =
    oneOf(values, 'sslnegotiation', ['postgres', 'direct'] as const) ?? 'postgres';
  if (negotiation === 'direct' && ['disable', 'allow', 'prefer'].includes(mode)) {
    throw new WalnutError(
      'config',
      `read connection settings: weak sslmode "${mode}" may not be used with sslnegotiation=direct`,
      { hint: 'Use sslmode=require, verify-ca or verify-full.' },
    );
  }
  return negotiation;
}
