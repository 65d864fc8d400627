import { Client, type ClientConfig, type Connection } from 'pg';
import { WalnutError } from '../../lib/walnut-error.ts';
import { guardLogin } from './authentication-guard.ts';
import { ClientSession, parseServerVersion, valueParser, type PgClient } from './client-session.ts';
import type { ConnectAttempt } from './connect-attempt.ts';
import { describeHost, type ConnectionSettings } from './connection-settings.ts';
import { connectError, sqlStateOf } from './error-mapping.ts';
import type { HostAddress } from './host-list.ts';
import { isTlsFailure, isTlsRefused } from './network-hints.ts';
import { makeReusingSocket } from './reusing-socket.ts';
import { serverMessageOf } from './server-error.ts';
import type { ReplicationMode, Session, SessionOptions } from './session.ts';
import { sessionRules, startupParameters } from './session-rules.ts';
import { targetPasses, matchesTarget, type SessionState } from './target-session.ts';
import { encryptionAttempts, tlsOptions, type Encryption } from './tls-options.ts';

/** More iterations than any server asks for in earnest; stops an impostor from keeping us busy for hours. */
const SCRAM_ITERATIONS_MAX = 10_000_000;

/**
 * Opens a session on the first host that answers and is what `target_session_attrs` asks for. As in libpq, the next
 * host is tried when one can't be reached, is starting up, or is of the wrong kind; not when it refuses the login.
 * @throws WalnutError `connection`, `authentication`, `permission` or `config`, with a hint that shows the fix.
 */
export async function openSession(
  settings: ConnectionSettings,
  options: SessionOptions,
): Promise<Session> {
  const failures: WalnutError[] = [];
  const hosts = settings.loadBalanceHosts ? shuffled(settings.hosts) : settings.hosts;
  for (const target of targetPasses(settings.targetSessionAttrs)) {
    for (const host of hosts) {
      options.signal?.throwIfAborted();
      try {
        const session = await openOnHost({ settings, options, host });
        if (target === 'any' || matchesTarget(await readState(session), target)) return session;
        await session.close();
        failures.push(wrongKind(host, target));
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof WalnutError) || !triesNextHost(error)) throw error;
        failures.push(error);
      }
    }
  }
  throw allFailed(failures);
}

type HostOptions = {
  readonly settings: ConnectionSettings;
  readonly options: SessionOptions;
  readonly host: HostAddress;
};

/** Marks errors after which libpq goes on to the next host. */
function triesNextHost(error: WalnutError): boolean {
  const state = sqlStateOf(error);
  return error.code === 'connection' && (state === null || state === '57P03');
}

function allFailed(failures: readonly WalnutError[]): WalnutError {
  const [first] = failures;
  if (first === undefined) return new WalnutError('config', 'connect: no host is given');
  const messages = [...new Set(failures.map(({ message }) => message))];
  if (messages.length === 1) return first;
  return new WalnutError('connection', messages.join('; '), {
    hint: failures.find(({ hint }) => hint !== undefined)?.hint,
    cause: new AggregateError(failures),
  });
}

function wrongKind(host: HostAddress, target: string): WalnutError {
  return new WalnutError(
    'connection',
    `connect to ${describeHost(host)}: the server is not ${target}`,
    { hint: `target_session_attrs=${target} asks for another kind of server.` },
  );
}

async function openOnHost(context: HostOptions): Promise<ClientSession> {
  const { settings, host } = context;
  const [first = 'none', second] = encryptionAttempts(settings.tls.mode, host);
  try {
    return await openOnce(context, first);
  } catch (error) {
    if (second === undefined || !isWorthSecondAttempt(error)) throw error;
    return await secondAttempt(context, second, error);
  }
}

/** The other half of allow or prefer: when encryption failed, or no pg_hba.conf line fits this kind of connection. */
function isWorthSecondAttempt(error: unknown): boolean {
  return (
    error instanceof WalnutError && (isTlsFailure(error.cause) || sqlStateOf(error) === '28000')
  );
}

async function secondAttempt(
  context: HostOptions,
  encryption: Encryption,
  firstError: unknown,
): Promise<ClientSession> {
  try {
    return await openOnce(context, encryption);
  } catch (error) {
    // Where the server has no TLS, the attempt without it tells the reason; else the first one does.
    const firstTells =
      firstError instanceof WalnutError &&
      !isTlsRefused(firstError.cause) &&
      isWorthSecondAttempt(error);
    throw firstTells ? firstError : error;
  }
}

async function openOnce(context: HostOptions, encryption: Encryption): Promise<ClientSession> {
  try {
    return await connectClient(context, { encryption, withIdleTimeout: true });
  } catch (error) {
    // Version 13 does not know idle_session_timeout, and only the answer tells the version.
    if (sqlStateOf(error) !== '42704' || context.options.replication !== 'physical') throw error;
    return await connectClient(context, { encryption, withIdleTimeout: false });
  }
}

type AttemptOptions = { readonly encryption: Encryption; readonly withIdleTimeout: boolean };

async function connectClient(
  { settings, options, host }: HostOptions,
  { encryption, withIdleTimeout }: AttemptOptions,
): Promise<ClientSession> {
  const replication = options.replication ?? 'none';
  const attempt = describeAttempt({ settings, options, host }, encryption);
  const client = makeClient({ settings, options, host }, encryption);
  const parameters = new Map<string, string>();
  const unwatch = prepare(client, { settings, options, replication, parameters, withIdleTimeout });
  const abort = (): void => {
    destroySocket(client);
  };
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    await client.connect();
    parseServerVersion(parameters.get('server_version') ?? '');
    const session = new ClientSession({ client, host, replication, parameters });
    unwatch();
    const rules = sessionRules(session.majorVersion, options.keepSearchPath ?? false);
    if (replication !== 'physical' && rules !== '') await session.query(rules);
    return session;
  } catch (error) {
    destroySocket(client);
    options.signal?.throwIfAborted();
    throw connectError(error, attempt);
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }
}

function makeClient({ settings, options, host }: HostOptions, encryption: Encryption): PgClient {
  const { replication } = options;
  const password =
    settings.password ?? (replication === 'physical' ? host.replicationPassword : host.password);
  const ssl = encryption === 'none' ? false : tlsOptions(settings.tls, host);
  const config: ClientConfig & Record<string, unknown> = {
    host: host.hostaddr ?? host.host,
    port: host.port,
    user: settings.user,
    database: options.database ?? settings.database,
    // A function, or `pg` would look into PGPASSWORD and ~/.pgpass by itself.
    password: () => {
      if (password === null) throw new Error('no password supplied');
      return password;
    },
    ssl,
    sslnegotiation: ssl === false ? 'postgres' : settings.tls.negotiation,
    enableChannelBinding: ssl !== false && settings.tls.channelBinding !== 'disable',
    scramMaxIterations: SCRAM_ITERATIONS_MAX,
    keepAlive: settings.keepalives,
    keepAliveInitialDelayMillis: settings.keepalivesIdleMs,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    types: { getTypeParser: valueParser },
    ...(ssl === false && options.reusesReads === true ? { stream: makeReusingSocket } : {}),
  };
  return new Client(config) as PgClient;
}

type Preparation = {
  readonly settings: ConnectionSettings;
  readonly options: SessionOptions;
  readonly replication: ReplicationMode;
  readonly parameters: Map<string, string>;
  readonly withIdleTimeout: boolean;
};

/** Puts our listeners on before `pg` puts its own; answers how to take the temporary one off. */
function prepare(client: PgClient, preparation: Preparation): () => void {
  const { settings, options, parameters } = preparation;
  const encrypted = (client as { ssl?: unknown }).ssl !== false;
  // `pg` would read some startup values from the environment; ours are complete.
  const startup = startupParameters(preparation);
  (client as unknown as { getStartupConf: () => Record<string, string> }).getStartupConf = () =>
    startup;
  guardLogin(client.connection, settings.tls, encrypted);
  const status: StatusEvents = client.connection;
  status.on('parameterStatus', ({ parameterName, parameterValue }) => {
    parameters.set(parameterName, parameterValue);
  });
  client.on('notice', (notice) => {
    const message = serverMessageOf(Object.assign(new Error(notice.message), notice));
    if (message !== null) options.onNotice?.(message);
  });
  const ignore = (): void => {
    // The rejection of connect() reports it.
  };
  client.on('error', ignore);
  return () => {
    client.removeListener('error', ignore);
  };
}

type StatusEvents = {
  on(
    event: 'parameterStatus',
    listener: (message: { parameterName: string; parameterValue: string }) => void,
  ): void;
};

function destroySocket(client: PgClient): void {
  (client.connection as Connection & { stream: { destroy(): void } }).stream.destroy();
}

function describeAttempt(
  { settings, options, host }: HostOptions,
  encryption: Encryption,
): ConnectAttempt {
  return {
    target: describeHost(host),
    host: host.host,
    port: host.port,
    user: settings.user,
    database: options.database ?? settings.database,
    replication: options.replication ?? 'none',
    encrypted: encryption === 'required',
  };
}

/** What the server says about itself, in one of the ways that its version and this kind of connection allow. */
async function readState(session: ClientSession): Promise<SessionState> {
  const { parameters } = session;
  const standby = parameters.get('in_hot_standby');
  const readOnly = parameters.get('default_transaction_read_only');
  if (standby !== undefined && readOnly !== undefined) {
    return { standby: standby === 'on', readOnly: readOnly === 'on' || standby === 'on' };
  }
  // Version 13 reports neither, and a physical connection takes only SHOW: there a standby shows as read-only.
  const [row] = await session.query<{ transaction_read_only: string }>(
    'SHOW transaction_read_only',
  );
  const isReadOnly = row?.transaction_read_only === 'on';
  if (session.replication === 'physical') return { standby: isReadOnly, readOnly: isReadOnly };
  const [recovery] = await session.query<{ standby: boolean }>(
    'SELECT pg_catalog.pg_is_in_recovery() AS standby',
  );
  return { standby: recovery?.standby === true, readOnly: isReadOnly };
}

function shuffled(hosts: readonly HostAddress[]): HostAddress[] {
  const order = hosts.map((host) => ({ host, key: Math.random() }));
  return order.toSorted((first, second) => first.key - second.key).map(({ host }) => host);
}
