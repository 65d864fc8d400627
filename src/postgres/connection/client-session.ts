import type { TLSSocket } from 'node:tls';
import { types, type Client, type Connection } from 'pg';
import { WalnutError } from '../../lib/walnut-error.ts';
import { majorVersionOf, type MajorVersion } from '../version.ts';
import { cancelRunning } from './cancel-request.ts';
import { statementError } from './error-mapping.ts';
import type { HostAddress } from './host-list.ts';
import { RawExchange, type ExchangeReceiver } from './raw-exchange.ts';
import type { QueryOptions, ReplicationMode, Session, SessionEncryption } from './session.ts';

/** Parts of `pg`'s Client that its types leave out. */
export type PgClient = Client & {
  readonly connection: Connection;
  readonly processID: number | null;
  readonly secretKey: number | null;
};

export type OpenedClient = {
  readonly client: PgClient;
  readonly host: HostAddress;
  readonly replication: ReplicationMode;
  readonly parameters: ReadonlyMap<string, string>;
};

/** A {@link Session} over `pg`'s Client. */
export class ClientSession implements Session {
  readonly host: HostAddress;
  readonly replication: ReplicationMode;
  readonly encryption: SessionEncryption | null;
  readonly serverVersionNum: number;
  readonly majorVersion: MajorVersion;
  readonly parameters: ReadonlyMap<string, string>;
  readonly lost: Promise<WalnutError>;
  readonly #client: PgClient;
  #closed: Promise<void> | null = null;
  #loss: WalnutError | null = null;

  constructor({ client, host, replication, parameters }: OpenedClient) {
    this.#client = client;
    this.host = host;
    this.replication = replication;
    this.parameters = parameters;
    this.encryption = encryptionOf(client);
    this.serverVersionNum = parseServerVersion(parameters.get('server_version') ?? '');
    this.majorVersion = majorVersionOf(this.serverVersionNum);
    const { promise, resolve } = Promise.withResolvers<WalnutError>();
    this.lost = promise;
    const onLoss = (cause: unknown): void => {
      if (this.#closed !== null) return;
      this.#loss ??= statementError(cause, 'keep the connection to PostgreSQL');
      resolve(this.#loss);
    };
    client.on('error', onLoss);
    client.on('end', () => onLoss(new Error('the server closed the connection')));
  }

  async query<Row>(sql: string, options: QueryOptions = {}): Promise<Row[]> {
    this.#assertOpen();
    try {
      const { parameters = [] } = options;
      const result =
        parameters.length === 0
          ? await this.#client.query(sql)
          : await this.#client.query(sql, [...parameters]);
      return result.rows as Row[];
    } catch (cause) {
      throw statementError(cause, options.act ?? 'run a statement');
    }
  }

  exchange(command: string, receiver: ExchangeReceiver): RawExchange {
    this.#assertOpen();
    const exchange = new RawExchange(command, receiver);
    this.#client.query(exchange);
    return exchange;
  }

  async cancel(): Promise<void> {
    await cancelRunning(this.#client, this.host);
  }

  close(): Promise<void> {
    this.#closed ??= this.#client.end();
    return this.#closed;
  }

  #assertOpen(): void {
    if (this.#loss !== null) throw this.#loss;
    if (this.#closed !== null) {
      throw new WalnutError('connection', 'use a session: it is closed');
    }
  }
}

function encryptionOf({ connection }: PgClient): SessionEncryption | null {
  const stream = connection.stream as Partial<TLSSocket>;
  if (stream.encrypted !== true) return null;
  return {
    protocol: stream.getProtocol?.() ?? 'unknown',
    cipher: stream.getCipher?.().name ?? 'unknown',
  };
}

/** `server_version_num` from texts such as `18.4 (Debian 18.4-1)` or `19beta3`. */
export function parseServerVersion(text: string): number {
  const [, major, minor = '0'] = /^(\d{2,3})(?:\.(\d+))?/.exec(text) ?? [];
  if (major === undefined) {
    throw new WalnutError('unsupported', `use PostgreSQL version "${text}"`, {
      hint: 'Walnut supports versions 13 to 18.',
    });
  }
  return Number(major) * 10_000 + Number(minor);
}

const INT8_OID = 20;
/** date, timestamp, timestamptz, interval: `pg` would lose microseconds or the form. */
const KEPT_AS_TEXT: ReadonlySet<number> = new Set([1082, 1114, 1184, 1186]);

/** How `pg` shall turn values into JavaScript's; see {@link Session.query}. */
export function valueParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  if (oid === INT8_OID) return BigInt;
  if (KEPT_AS_TEXT.has(oid)) return String;
  const getTypeParser = types.getTypeParser as (oid: number, format: string) => unknown;
  return getTypeParser(oid, format ?? 'text') as (value: string) => unknown;
}
