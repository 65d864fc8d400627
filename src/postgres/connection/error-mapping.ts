import { messageOf, WalnutError, type ErrorCode } from '../../lib/walnut-error.ts';
import { authorizationProblem } from './authorization-hints.ts';
import type { ConnectAttempt, Problem } from './connect-attempt.ts';
import { networkProblem, tlsProblem } from './network-hints.ts';
import { serverMessageOf, type ServerMessage } from './server-error.ts';

/** A failed attempt to open a session as an error with its fix. WalnutErrors pass unchanged. */
export function connectError(error: unknown, attempt: ConnectAttempt): WalnutError {
  if (error instanceof WalnutError) return error;
  const server = serverMessageOf(error);
  const problem =
    server === null
      ? (tlsProblem(error, attempt) ?? networkProblem(error, attempt))
      : (authorizationProblem(server, attempt) ?? availabilityProblem(server));
  return new WalnutError(problem.code, `connect to ${attempt.target}: ${problem.reason}`, {
    hint: problem.hint,
    cause: error,
    details: {
      ...(server === null ? networkDetails(error) : serverDetails(server)),
      ...(problem.hbaLine === undefined ? {} : { hbaLine: problem.hbaLine }),
    },
  });
}

function networkDetails(error: unknown): Record<string, unknown> {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? { errno: code } : {};
}

function serverDetails({
  code,
  severity,
  detail,
  routine,
}: ServerMessage): Record<string, unknown> {
  return { sqlState: code, severity, detail, routine };
}

/** The server speaks, but not now. */
function availabilityProblem({ code, message, routine }: ServerMessage): Problem {
  switch (code) {
    case '57P03':
      return {
        code: 'connection',
        reason: message,
        hint: 'The server is starting up, shutting down or in recovery without hot_standby: try again shortly.',
      };
    case '53300':
      return routine === 'InitProcess' || /max_wal_senders/.test(message)
        ? {
            code: 'connection',
            reason: message,
            hint: 'Raise max_wal_senders (backup and WAL streaming take one each) and restart the server, or end an unused one: SELECT pid, application_name FROM pg_stat_replication;',
          }
        : {
            code: 'connection',
            reason: message,
            hint: 'Raise max_connections or the role’s CONNECTION LIMIT, or close idle sessions.',
          };
    case '57P01':
    case '57P02':
      return { code: 'connection', reason: message, hint: 'The server is shutting down.' };
    default:
      return { code: 'postgresql', reason: message };
  }
}

/** SQLSTATE classes that mean the session is gone. Source: src/backend/utils/errcodes.txt */
const LOST = /^(?:08|57P0[1-5])/;

/**
 * An error of a statement or command as a WalnutError: `<act>: <server's message>`, details `sqlState`, `severity`,
 * `detail`, `routine`.
 */
export function statementError(error: unknown, act: string): WalnutError {
  if (error instanceof WalnutError) return error;
  const server = serverMessageOf(error);
  if (server === null) {
    return new WalnutError('connection', `${act}: ${messageOf(error)}`, {
      cause: error,
      hint: 'The connection to the server was lost; the server log says whether it ended it.',
      details: networkDetails(error),
    });
  }
  const detail = server.detail === null ? '' : ` (${server.detail})`;
  return new WalnutError(codeOf(server), `${act}: ${server.message}${detail}`, {
    cause: error,
    hint: server.hint ?? undefined,
    details: serverDetails(server),
  });
}

function codeOf({ code }: ServerMessage): ErrorCode {
  if (code === '42501') return 'permission';
  if (code === '0A000') return 'unsupported';
  if (code === '53100') return 'disk-full';
  return LOST.test(code) ? 'connection' : 'postgresql';
}

/** The SQLSTATE inside an error that came through this module, or null. */
export function sqlStateOf(error: unknown): string | null {
  const state = error instanceof WalnutError ? error.details['sqlState'] : undefined;
  return typeof state === 'string' ? state : null;
}

/** The pg_hba.conf line that would have let a refused connection in, or null when that was not the reason. */
export function hbaLineOf(error: unknown): string | null {
  const line = error instanceof WalnutError ? error.details['hbaLine'] : undefined;
  return typeof line === 'string' ? line : null;
}
