import { WalnutError } from '../../lib/walnut-error.ts';
import { sqlStateOf, statementError } from '../connection/error-mapping.ts';
import { frame, type RawExchange } from '../connection/raw-exchange.ts';
import type { Session } from '../connection/session.ts';
import { WIRE, type CopyPart } from '../connection/wire-framer.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import { BatchMemory, type WalMemory } from './batch-memory.ts';
import { startReplicationCommand } from './commands.ts';
import { requiredColumn, ResultCollector } from './raw-result.ts';
import {
  continueWalData,
  formatStandbyStatus,
  parseWalMessage,
  WAL_DATA_HEADER_BYTES,
  type StandbyStatus,
  type WalDataMessage,
  type WalMessage,
} from './wal-messages.ts';

/** Why a stream ended without an error. After `server-shutdown` the connection is gone, else it takes new commands. */
export type WalStreamEnd =
  /** The timeline is finished. Go on at the segment start of the switch point, overwriting what lies beyond it. */
  | {
      readonly reason: 'timeline-end';
      readonly nextTimeline: TimelineId;
      readonly nextTimelineStart: Lsn;
    }
  | { readonly reason: 'stopped' }
  | { readonly reason: 'server-shutdown' };

export type WalStreamOptions = {
  readonly start: Lsn;
  readonly timeline: TimelineId;
  readonly slot?: string | null;
  /** Where what arrives is kept, and how much of it; a batch's bytes are valid as long as it says. */
  readonly memory?: WalMemory;
};

/** A second of WAL at a fast pace; small beside the memory budget. */
const QUEUE_BYTES_MAX: number = 8 * 1024 * 1024;
/** Counted for each message, so that a storm of keepalives is bounded as well. */
const MESSAGE_OVERHEAD_BYTES = 64;
const NO_BYTES: Buffer = Buffer.alloc(0);

/**
 * Starts streaming WAL on a replication connection (of either kind). Resolves when the server agreed; a stream that
 * begins at a switch point has then already ended.
 * @throws WalnutError; `wal-gap` when the server no longer has the WAL (`sqlState` 58P01), which also may come later.
 */
export async function startWalStream(
  session: Session,
  options: WalStreamOptions,
): Promise<WalStream> {
  const stream = new WalStream(session, options);
  await stream.started;
  return stream;
}

type Waiter = { readonly wake: () => void };

/** Messages of START_REPLICATION, pulled in batches; use {@link startWalStream}. */
export class WalStream {
  /** Resolves when the server has begun, or refused. */
  readonly started: Promise<void>;
  readonly #exchange: RawExchange;
  readonly #memory: WalMemory;
  readonly #act: string;
  readonly #results = new ResultCollector();
  readonly #start = Promise.withResolvers<void>();
  /** The beginning of a message, as long as its header is not whole. */
  #begun: Buffer = NO_BYTES;
  /** The last piece of a WALData message that goes on. */
  #cut: WalDataMessage | null = null;
  #queue: WalMessage[] = [];
  #queuedBytes = 0;
  #paused = false;
  #copying = false;
  #doneSent = false;
  #doneReceived = false;
  #completed = false;
  #failure: WalnutError | null = null;
  #end: WalStreamEnd | null = null;
  #waiter: Waiter | null = null;

  constructor(session: Session, { start, timeline, slot = null, memory }: WalStreamOptions) {
    const command = startReplicationCommand({ slot, start, timeline });
    this.#act = `stream WAL of timeline ${timeline}${slot === null ? '' : ` from slot "${slot}"`}`;
    this.#memory = memory ?? new BatchMemory(QUEUE_BYTES_MAX);
    this.started = this.#start.promise;
    this.#exchange = session.exchange(command, {
      copiesAtOnce: true,
      message: (type, body) => this.#guard(() => this.#onMessage(type, body)),
      copyData: (part, position) => this.#guard(() => this.#onCopyData(part, position)),
      failed: (error) => {
        this.#failure ??= this.#toError(error);
      },
      finished: (lost) => this.#onFinished(lost),
    });
  }

  /** How the stream ended; null while it runs, and while messages are left to read. */
  get end(): WalStreamEnd | null {
    return this.#queue.length > 0 ? null : this.#end;
  }

  /**
   * All messages that have arrived, in order; waits for the first. An empty batch means that the time is over, or that
   * the stream has ended (see {@link end}). Rejects, after all messages have been read, when the stream failed.
   * One reader at a time. A batch's bytes are valid until the next call.
   */
  async readBatch(
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<WalMessage[]> {
    options.signal?.throwIfAborted();
    if (this.#queue.length === 0 && this.#end === null && this.#failed === null) {
      await this.#wait(options);
      options.signal?.throwIfAborted();
    }
    const batch = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#memory.turn();
    if (this.#paused) {
      this.#paused = false;
      this.#exchange.resume();
    }
    if (batch.length === 0 && this.#failed !== null) throw this.#failed;
    return batch;
  }

  /** One message after the other until the stream ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<WalMessage> {
    for (;;) {
      const batch = await this.readBatch();
      if (batch.length === 0 && this.#end !== null) return;
      yield* batch;
    }
  }

  /** Reports progress. To be called every few seconds (below wal_sender_timeout), and when a keepalive asks. */
  sendStatus(status: StandbyStatus): void {
    if (!this.#copying || this.#doneSent) return;
    this.#exchange.send(formatStandbyStatus(status, new Date()));
  }

  /** Asks the server to end the stream. Messages that were on their way still come; then `end` is `stopped`. */
  stop(): void {
    if (this.#copying) this.#sendDone();
  }

  /** Set when the stream is over by an error: only then is it one, not while ReadyForQuery is on its way. */
  get #failed(): WalnutError | null {
    return this.#completed ? this.#failure : null;
  }

  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#failure ??= this.#toError(error);
      this.#exchange.destroy(this.#failure);
    }
  }

  #onMessage(type: number, body: Buffer): void {
    if (type === WIRE.copyBothResponse) {
      this.#copying = true;
      this.#start.resolve();
    } else if (type === WIRE.copyDone) {
      this.#doneReceived = true;
      this.#sendDone();
      this.#copying = false;
    } else if (type === WIRE.commandComplete && this.#copying && !this.#doneReceived) {
      // A server that shuts down says COPY 0 without CopyDone and closes (walsender.c, WalSndDone).
      this.#end = { reason: 'server-shutdown' };
      this.#copying = false;
    } else {
      this.#results.take(type, body);
    }
  }

  /**
   * WAL is copied once, out of the buffer that the socket reads into, and handed on as it arrives: joining the pieces of
   * a message would copy it again.
   */
  #onCopyData(part: Buffer, { last }: CopyPart): void {
    if (this.#cut === null) this.#beginMessage(part, last);
    else this.#cut = this.#enqueueWal(continueWalData(this.#cut, part));
    if (last) this.#cut = null;
    if (last || this.#paused) this.#waiter?.wake();
  }

  #beginMessage(part: Buffer, isWhole: boolean): void {
    const body = this.#begun.length === 0 ? part : Buffer.concat([this.#begun, part]);
    const isEnough = isWhole || body.length > WAL_DATA_HEADER_BYTES;
    this.#begun = isEnough ? NO_BYTES : Buffer.from(body);
    if (!isEnough) return;
    const message = parseWalMessage(body);
    if (message.kind === 'wal') this.#cut = this.#enqueueWal(message);
    else this.#enqueue(message);
  }

  /** In as many pieces as the memory makes of it; answers the last. */
  #enqueueWal(message: WalDataMessage): WalDataMessage {
    let rest = message.bytes;
    let piece = this.#enqueue({ ...message, bytes: this.#memory.copy(message.start, rest) });
    for (;;) {
      rest = rest.subarray(piece.bytes.length);
      if (rest.length === 0) return piece;
      const next = continueWalData(piece, rest);
      piece = this.#enqueue({ ...next, bytes: this.#memory.copy(next.start, rest) });
    }
  }

  #enqueue<Message extends WalMessage>(message: Message): Message {
    this.#queue.push(message);
    this.#queuedBytes += MESSAGE_OVERHEAD_BYTES;
    if (message.kind === 'wal') this.#queuedBytes += message.bytes.length;
    if (this.#queuedBytes > this.#memory.queueBytesMax && !this.#paused) {
      this.#paused = true;
      this.#exchange.pause();
    }
    return message;
  }

  #sendDone(): void {
    if (this.#doneSent) return;
    this.#doneSent = true;
    this.#exchange.send(frame(WIRE.copyDone, new Uint8Array(0)));
  }

  #onFinished(lost: Error | null): void {
    this.#copying = false;
    this.#completed = true;
    if (this.#failure === null && this.#end === null) {
      if (lost === null) this.#guard(() => this.#finish());
      else this.#failure = this.#toError(lost);
    }
    if (this.#failure === null) this.#start.resolve();
    else this.#start.reject(this.#failure);
    this.#waiter?.wake();
  }

  #finish(): void {
    const [next] = this.#results.results;
    this.#end =
      next === undefined
        ? { reason: 'stopped' }
        : {
            reason: 'timeline-end',
            nextTimeline: toTimelineId(Number(requiredColumn(next, 0, 'next_tli'))),
            nextTimelineStart: parseLsn(requiredColumn(next, 0, 'next_tli_startpos')),
          };
  }

  #toError(cause: unknown): WalnutError {
    const error = statementError(cause, this.#act);
    if (sqlStateOf(error) !== '58P01') return error;
    return new WalnutError('wal-gap', error.message, {
      cause,
      details: error.details,
      hint: 'The server has removed WAL that was not received: take a new backup; a slot (wal = "stream") or a larger wal_keep_size prevents this.',
    });
  }

  async #wait({ timeoutMs, signal }: { timeoutMs?: number; signal?: AbortSignal }): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        this.#waiter = null;
        resolve();
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
      signal?.addEventListener('abort', wake, { once: true });
      this.#waiter = { wake };
    });
  }
}
