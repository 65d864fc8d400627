import { must } from '../../lib/assert.ts';
import type { WalnutError } from '../../lib/walnut-error.ts';
import { sqlStateOf, statementError } from '../connection/error-mapping.ts';
import { EventPump } from '../connection/event-pump.ts';
import type { RawExchange } from '../connection/raw-exchange.ts';
import type { Session } from '../connection/session.ts';
import { WIRE, type CopyPart } from '../connection/wire-framer.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import {
  ARCHIVE_DATA,
  baseBackupCommand,
  parseArchiveMessage,
  type BaseBackupOptions,
} from './base-backup-messages.ts';
import { protocolError, requiredColumn, ResultCollector, textColumn } from './raw-result.ts';

export type WalPosition = { readonly lsn: Lsn; readonly timeline: TimelineId };

type BackupTablespace = {
  /** Null for the data directory itself, which comes last. */
  readonly oid: number | null;
  readonly location: string | null;
  /** The server's estimate; null without `progress`. */
  readonly sizeKb: number | null;
};

/**
 * Receives a base backup. Calls come one at a time, in the server's order; where one answers a promise, nothing is read
 * from the socket until it is settled. A call that throws ends the connection and rejects {@link streamBaseBackup}.
 */
export type BaseBackupHandler = {
  /** After the checkpoint, which a spread one stretches over minutes. */
  begin?(start: WalPosition, tablespaces: readonly BackupTablespace[]): void | Promise<void>;
  /** A tar file begins: a tablespace's, or (last) the data directory's. */
  archive(tablespace: BackupTablespace): void | Promise<void>;
  /** Bytes of the current tar file, as they came from the socket; may be kept. */
  data(bytes: Buffer): void | Promise<void>;
  /** The current tar file is complete. 13 and 14 send no trailing zero blocks. */
  archiveEnd?(): void | Promise<void>;
  manifest?(bytes: Buffer): void | Promise<void>;
  progress?(bytesDone: number): void | Promise<void>;
};

export type BaseBackupResult = {
  readonly start: WalPosition;
  readonly end: WalPosition;
  readonly tablespaces: readonly BackupTablespace[];
  /** The server found bad pages (its warnings name the files). The backup was delivered completely all the same. */
  readonly checksumFailure: boolean;
};

/**
 * Runs BASE_BACKUP on a replication connection of either kind and pushes it to `handler`. Resolves when the server is
 * done and the handler has taken everything. Aborting ends the connection.
 */
export function streamBaseBackup(
  session: Session,
  options: BaseBackupOptions & { readonly signal?: AbortSignal },
  handler: BaseBackupHandler,
): Promise<BaseBackupResult> {
  options.signal?.throwIfAborted();
  const receiver = new BaseBackupReceiver(handler);
  return receiver.run(session, options);
}

const ACT = 'run BASE_BACKUP';
/** "data corrupted", which comes in place of the final CommandComplete. */
const DATA_CORRUPTED = 'XX001';

class BaseBackupReceiver {
  readonly #handler: BaseBackupHandler;
  readonly #results = new ResultCollector();
  readonly #pump: EventPump;
  readonly #done = Promise.withResolvers<BaseBackupResult>();
  #exchange: RawExchange | null = null;
  #isNew = false;
  #tablespaces: BackupTablespace[] = [];
  /** How many archives have begun. */
  #archives = 0;
  #content: 'none' | 'archive' | 'manifest' = 'none';
  /** Of the CopyData message in progress: data to pass on, or a small message to assemble. */
  #message: 'data' | Buffer[] = 'data';
  #failure: WalnutError | null = null;

  constructor(handler: BaseBackupHandler) {
    this.#handler = handler;
    this.#pump = new EventPump({
      onPause: () => this.#exchange?.pause(),
      onResume: () => this.#exchange?.resume(),
      onError: (error) => this.#fail(error),
    });
  }

  async run(
    session: Session,
    options: BaseBackupOptions & { readonly signal?: AbortSignal },
  ): Promise<BaseBackupResult> {
    this.#isNew = session.majorVersion >= 15;
    const command = baseBackupCommand(options, session.majorVersion);
    const abort = (): void => this.#fail(options.signal?.reason);
    options.signal?.addEventListener('abort', abort, { once: true });
    this.#exchange = session.exchange(command, {
      message: (type, body) => this.#guard(() => this.#onMessage(type, body)),
      copyData: (part, position) => this.#guard(() => this.#onCopyData(part, position)),
      failed: (error) => {
        this.#failure ??= statementError(error, ACT);
      },
      finished: (lost) => this.#onFinished(lost),
    });
    try {
      return await this.#done.promise;
    } finally {
      options.signal?.removeEventListener('abort', abort);
    }
  }

  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#done.reject(error);
    this.#pump.stop();
    this.#exchange?.destroy(error instanceof Error ? error : new Error(String(error)));
  }

  #onMessage(type: number, body: Buffer): void {
    if (type === WIRE.copyOutResponse) {
      this.#onCopyBegin();
    } else if (type === WIRE.copyDone) {
      this.#endContent();
    } else {
      this.#results.take(type, body);
    }
  }

  /** 13 and 14 have one COPY for each archive and one for the manifest, 15 and newer one for all. */
  #onCopyBegin(): void {
    if (this.#tablespaces.length === 0) this.#announce();
    if (this.#isNew) return;
    if (this.#archives < this.#tablespaces.length) this.#beginArchive();
    else this.#content = 'manifest';
  }

  #announce(): void {
    this.#tablespaces = readTablespaces(this.#results);
    const start = readPosition(this.#results, 0);
    const tablespaces = this.#tablespaces;
    this.#pump.push(() => this.#handler.begin?.(start, tablespaces));
  }

  #beginArchive(): void {
    const tablespace = this.#tablespaces[this.#archives];
    if (tablespace === undefined) throw protocolError('more archives than tablespaces');
    this.#archives += 1;
    this.#content = 'archive';
    this.#pump.push(() => this.#handler.archive(tablespace));
  }

  #endContent(): void {
    if (this.#content === 'archive') this.#pump.push(() => this.#handler.archiveEnd?.());
    this.#content = 'none';
  }

  #onCopyData(part: Buffer, { first, last }: CopyPart): void {
    if (!this.#isNew) {
      this.#pass(part);
      return;
    }
    if (first && part.length > 0 && part[0] === ARCHIVE_DATA) {
      this.#message = 'data';
      this.#pass(part.subarray(1));
    } else if (first) {
      this.#message = [part];
    } else if (this.#message === 'data') {
      this.#pass(part);
    } else {
      this.#message.push(part);
    }
    if (last && this.#message !== 'data') this.#onArchiveMessage(Buffer.concat(this.#message));
  }

  #pass(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#content === 'archive') this.#pump.push(() => this.#handler.data(bytes));
    else if (this.#content === 'manifest') this.#pump.push(() => this.#handler.manifest?.(bytes));
    else throw protocolError('data came before its archive');
  }

  #onArchiveMessage(body: Buffer): void {
    const message = parseArchiveMessage(body);
    if (message.kind === 'progress') {
      this.#pump.push(() => this.#handler.progress?.(message.bytesDone));
      return;
    }
    this.#endContent();
    if (message.kind === 'manifest') {
      this.#content = 'manifest';
      return;
    }
    this.#beginArchive();
    const { location } = must(this.#tablespaces[this.#archives - 1], 'an archive has begun');
    // The servers send them in the order in which they listed them; a swap would mix tablespaces up.
    if ((location ?? '') !== message.location) {
      throw protocolError(`archive ${message.name} came out of order`);
    }
  }

  #onFinished(lost: Error | null): void {
    if (this.#failure === null && lost !== null) this.#failure = statementError(lost, ACT);
    this.#pump.push(() => {
      try {
        this.#done.resolve(this.#result());
      } catch (error) {
        // The server is done: the connection, where it is not lost, is good for more.
        this.#done.reject(error);
      }
    });
  }

  #result(): BaseBackupResult {
    const isComplete = this.#results.results.length === 3;
    const checksumFailure = isComplete && sqlStateOf(this.#failure) === DATA_CORRUPTED;
    if (this.#failure !== null && !checksumFailure) throw this.#failure;
    if (!isComplete || this.#archives !== this.#tablespaces.length) {
      throw protocolError('the base backup is incomplete');
    }
    return {
      start: readPosition(this.#results, 0),
      end: readPosition(this.#results, 2),
      tablespaces: this.#tablespaces,
      checksumFailure,
    };
  }
}

function readPosition({ results }: ResultCollector, index: number): WalPosition {
  const result = results[index];
  if (result === undefined) throw protocolError('a position is missing');
  return {
    lsn: parseLsn(requiredColumn(result, 0, 'recptr')),
    timeline: toTimelineId(Number(requiredColumn(result, 0, 'tli'))),
  };
}

function readTablespaces({ results }: ResultCollector): BackupTablespace[] {
  const result = results[1];
  if (result === undefined) throw protocolError('the list of tablespaces is missing');
  return result.rows.map((_, row) => {
    const oid = textColumn(result, row, 'spcoid');
    const size = textColumn(result, row, 'size');
    return {
      oid: oid === null ? null : Number(oid),
      location: textColumn(result, row, 'spclocation'),
      sizeKb: size === null ? null : Number(size),
    };
  });
}
