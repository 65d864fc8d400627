import { isIP } from 'node:net';
import type { ConnectAttempt, Problem } from './connect-attempt.ts';
import type { ServerMessage } from './server-error.ts';

/** Why the server refused this role, or null when it is not about the role. Told by SQLSTATE and C function, since
 * messages come in the server's language. Source: src/backend/libpq/auth.c, src/backend/utils/init/postinit.c. */
export function authorizationProblem(
  server: ServerMessage,
  attempt: ConnectAttempt,
): Problem | null {
  switch (server.code) {
    case '28P01':
      return {
        code: 'authentication',
        reason: server.message,
        hint: `The password for role "${attempt.user}" is wrong, or the role has none: ALTER ROLE ${quoteIdentifier(attempt.user)} PASSWORD '…'; (it may come from the connection string, PGPASSWORD or ~/.pgpass).`,
      };
    case '28000':
      return refused(server, attempt);
    case '42501':
      return forbidden(server, attempt);
    case '3D000':
      return {
        code: 'connection',
        reason: server.message,
        hint: 'Name a database that exists at the end of the connection, such as postgres.',
      };
    default:
      return null;
  }
}

/** Let in by pg_hba.conf, but not allowed: to replicate, or to connect to this database. */
function forbidden({ message, routine }: ServerMessage, attempt: ConnectAttempt): Problem {
  const code = 'permission';
  const { user, database, replication } = attempt;
  if (routine === 'CheckMyDatabase') {
    const hint = `Run as a superuser: GRANT CONNECT ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)};`;
    return { code, reason: message, hint };
  }
  if (replication === 'none') return { code, reason: message };
  const hint = `Run as a superuser: ALTER ROLE ${quoteIdentifier(user)} REPLICATION;`;
  return { code, reason: message, hint };
}

function refused(server: ServerMessage, attempt: ConnectAttempt): Problem {
  const code = 'authentication';
  const { message, routine } = server;
  if (isMissingHbaEntry(server)) {
    const line = hbaLine(message, attempt);
    return {
      code,
      reason: message,
      hint: `Add this line to pg_hba.conf, then SELECT pg_reload_conf();\n${line}`,
      hbaLine: line,
    };
  }
  if (routine === 'InitializeSessionUserId' || /role ".*" does not exist/.test(message)) {
    return /log in/.test(message)
      ? { code, reason: message, hint: `ALTER ROLE ${quoteIdentifier(attempt.user)} LOGIN;` }
      : {
          code,
          reason: message,
          hint: `Create the role: CREATE ROLE ${quoteIdentifier(attempt.user)} LOGIN REPLICATION PASSWORD '…'; or name another one in the connection.`,
        };
  }
  return {
    code,
    reason: message,
    hint: 'The server log says which pg_hba.conf line was used and why it refused.',
  };
}

/** True when no pg_hba.conf line lets the connection in: the case in which another kind of connection may. */
function isMissingHbaEntry({ code, routine, message }: ServerMessage): boolean {
  return (
    code === '28000' &&
    (routine === 'ClientAuthentication' || routine === 'ImplicitReject'
      ? !/certificate/.test(message)
      : /^(?:no pg_hba\.conf entry|pg_hba\.conf rejects)/.test(message))
  );
}

/** The pg_hba.conf line that would let exactly this connection in. */
export function hbaLine(message: string, attempt: ConnectAttempt): string {
  const database = attempt.replication === 'physical' ? 'replication' : quoteHba(attempt.database);
  const user = quoteHba(attempt.user);
  if (attempt.host.startsWith('/')) return `local   ${database}   ${user}   scram-sha-256`;
  const kind = attempt.encrypted ? 'hostssl' : 'host';
  return `${kind}   ${database}   ${user}   ${clientAddress(message)}   scram-sha-256`;
}

/** The server names the address it saw, in quotes in every language; the client's own idea may be wrong behind NAT. */
function clientAddress(message: string): string {
  const [, address] = /["«„“]([0-9a-f.:]+)["»“”]/i.exec(message) ?? [];
  switch (isIP(address ?? '')) {
    case 4:
      return `${address}/32`;
    case 6:
      return `${address}/128`;
    default:
      return '<address of this host>/32';
  }
}

/** Keywords and names with special characters must be quoted in pg_hba.conf to be taken as names. */
function quoteHba(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) &&
    !['all', 'replication', 'sameuser', 'samerole'].includes(name)
    ? name
    : `"${name}"`;
}

/** A name as SQL takes it. */
export function quoteIdentifier(identifier: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(identifier)
    ? identifier
    : `"${identifier.replaceAll('"', '""')}"`;
}
