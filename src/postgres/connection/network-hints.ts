import { messageOf } from '../../lib/walnut-error.ts';
import type { ConnectAttempt, Problem } from './connect-attempt.ts';

const code = 'connection';

function errnoOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** Messages with which `pg` 8.23 (lib/connection.js) reports the answer to its SSLRequest. */
const NO_TLS = 'The server does not support SSL connections';
const BAD_TLS_ANSWER = 'There was an error establishing an SSL connection';

/** True when the server answered that it speaks no TLS. */
export function isTlsRefused(error: unknown): boolean {
  return messageOf(error) === NO_TLS;
}

/** True when encryption itself failed, so that an attempt without it may do better. */
export function isTlsFailure(error: unknown): boolean {
  const message = messageOf(error);
  return message === NO_TLS || message === BAD_TLS_ANSWER || TLS_CODE.test(errnoOf(error));
}

const TLS_CODE =
  /^(?:ERR_TLS_|ERR_SSL_|ERR_OSSL_|EPROTO$|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERROR_IN_CERT_|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_|HOSTNAME_MISMATCH$)/;

export function tlsProblem(error: unknown, attempt: ConnectAttempt): Problem | null {
  if (!isTlsFailure(error)) return null;
  const errno = errnoOf(error);
  const message = messageOf(error);
  if (message === NO_TLS) {
    return {
      code,
      reason: 'the server does not support TLS, but sslmode requires it',
      hint: 'Set ssl = on with a certificate on the server, or sslmode=disable where the network is trusted.',
    };
  }
  if (errno === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return {
      code,
      reason: `the server certificate is not for host name "${attempt.host}": ${message}`,
      hint: 'Connect by a name that the certificate holds, or use sslmode=verify-ca.',
    };
  }
  if (/^CERT_HAS_EXPIRED|^CERT_NOT_YET_VALID/.test(errno)) {
    return {
      code,
      reason: `the server certificate is not valid now: ${message}`,
      hint: 'Renew the server certificate, and check both clocks.',
    };
  }
  if (/^(?:SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|CERT_)/.test(errno)) {
    return {
      code,
      reason: `the server certificate is not signed by a trusted CA: ${message}`,
      hint: 'Set sslrootcert to the file of the CA that signed the server certificate (or sslrootcert=system).',
    };
  }
  return {
    code,
    reason: `TLS failed: ${message}`,
    hint: 'Compare the server’s ssl settings (ssl_ca_file, ssl_min_protocol_version) with sslcert, sslkey, sslrootcert here; the server log has its side.',
  };
}

export function networkProblem(error: unknown, attempt: ConnectAttempt): Problem {
  const message = messageOf(error);
  switch (errnoOf(error)) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
      return {
        code,
        reason: `unknown host "${attempt.host}"`,
        hint: 'Check the host name in the connection and the name service of this machine.',
      };
    case 'ECONNREFUSED':
      return {
        code,
        reason: 'connection refused',
        hint: `Nothing listens there: check that the server runs, its port (${attempt.port}) and listen_addresses.`,
      };
    case 'ENOENT':
      return {
        code,
        reason: `no server socket ${attempt.host}/.s.PGSQL.${attempt.port}`,
        hint: 'Check that the server runs, its port and unix_socket_directories; or give a host name to connect by TCP.',
      };
    case 'EACCES':
      return {
        code,
        reason: `permission denied on ${attempt.host}`,
        hint: 'The user that runs Walnut may not use this socket.',
      };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return {
        code,
        reason: message || 'timed out',
        hint: 'Check the network and firewalls between here and the server.',
      };
    default:
      return message === 'timeout expired'
        ? {
            code,
            reason: 'timed out',
            hint: 'Check the network and firewalls, or raise connect_timeout.',
          }
        : otherProblem(message);
  }
}

function otherProblem(message: string): Problem {
  if (/no password supplied|client password must be/.test(message)) {
    return {
      code: 'authentication',
      reason: 'the server wants a password and none is set',
      hint: 'Put it into ~/.pgpass (chmod 600), PGPASSWORD, or the connection string.',
    };
  }
  if (message.startsWith('SASL:')) return { code: 'authentication', reason: message };
  return { code, reason: message || 'the connection failed' };
}
