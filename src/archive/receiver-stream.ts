/** One START_REPLICATION: from its messages into the spool, and back the news of what is durable. */
import { assert } from '../lib/assert.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import type { WalDataMessage, WalMessage } from '../postgres/replication/wal-messages.ts';
import type { WalStream, WalStreamEnd } from '../postgres/replication/wal-stream.ts';
import { formatSegmentName, offsetInSegment, segmentNumberAt } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { IdleWatch } from './idle-watch.ts';
import { pause } from './pause.ts';
import type { Spool } from './spool.ts';
import type { SpoolStorer } from './spool-storer.ts';
import { outOfOrder } from './segment-memory.ts';
import { isSilent, isStatusDue } from './status-timing.ts';

/** How often timers are looked at while nothing arrives. */
const TICK_MS = 1000;
/** Between looks at a full spool: a segment takes about that long to be stored. */
const FULL_TICK_MS = 100;
/** A server ends a stream at once when asked; one that hangs is left. */
const STOP_MS_MAX = 5000;

export type ReceiverStreamOptions = {
  readonly stream: WalStream;
  readonly timeline: TimelineId;
  /** Start of a segment. */
  readonly start: Lsn;
  readonly segmentBytes: number;
  readonly spool: Spool;
  readonly spoolBytesMax: number;
  readonly storer: SpoolStorer;
  readonly idle: IdleWatch;
  /** Everything before it is durable. */
  readonly onDurable: (end: Lsn) => void;
  /** The server's end of WAL, as its messages tell it. */
  readonly onServerEnd: (end: Lsn) => void;
  /** The spool is full, or no longer. */
  readonly onFull: (isFull: boolean) => void;
  readonly signal: AbortSignal;
};

export class ReceiverStream {
  readonly #options: ReceiverStreamOptions;
  /** The next byte to come. */
  #position: Lsn;
  /** Bytes of the open segment that are next to be written, up to the position. */
  #unwritten: Uint8Array[] = [];
  #durable: Lsn;
  #reported: Lsn = toLsn(0n);
  #lastSentMs = 0;
  #lastHeardMs: number = Date.now();
  #isRequested = false;

  constructor(options: ReceiverStreamOptions) {
    assert(offsetInSegment(options.start, options.segmentBytes) === 0, 'a stream begins a segment');
    this.#options = options;
    this.#position = options.start;
    this.#durable = options.start;
  }

  /** Receives until the stream ends or `signal` is aborted; the spool is durable then. */
  async run(): Promise<WalStreamEnd> {
    const { stream, signal } = this.#options;
    while (stream.end === null && !signal.aborted) {
      await this.#waitForSpace();
      const batch = await this.#read();
      for (const message of batch) await this.#take(message);
      await this.#flush();
      await this.#settle();
    }
    if (stream.end !== null) return stream.end;
    return this.#stop();
  }

  async #read(): Promise<WalMessage[]> {
    const { stream, signal } = this.#options;
    const batch = await stream.readBatch({ timeoutMs: TICK_MS, signal }).catch((error: unknown) => {
      if (signal.aborted) return [];
      throw error;
    });
    const nowMs = Date.now();
    if (batch.length > 0) this.#lastHeardMs = nowMs;
    const silence = { nowMs, lastHeardMs: this.#lastHeardMs, isReading: true };
    if (isSilent(silence) && stream.end === null) {
      throw new WalnutError(
        'connection',
        `stream WAL: the server has said nothing for ${Math.round((nowMs - this.#lastHeardMs) / 1000)} s`,
        { hint: 'The network or the server hangs; the receiver connects anew.' },
      );
    }
    return batch;
  }

  /** After every drained batch: makes it durable, then says so; a commit may wait for it. */
  async #settle(): Promise<void> {
    const { spool, storer } = this.#options;
    await spool.sync();
    if (this.#position > this.#durable) {
      this.#durable = this.#position;
      this.#options.onDurable(this.#durable);
      storer.wake();
    }
    this.#reportIfDue();
  }

  #reportIfDue(): void {
    const nowMs = Date.now();
    const state = {
      nowMs,
      lastSentMs: this.#lastSentMs,
      reportedLsn: this.#reported,
      durableLsn: this.#durable,
      isRequested: this.#isRequested,
    };
    if (!isStatusDue(state)) return;
    // The answer that is asked for proves that the server lives, and when it was last known to have nothing new.
    const isProgress = this.#isRequested || this.#durable > this.#reported;
    this.#options.stream.sendStatus({
      write: this.#durable,
      flush: this.#durable,
      replyRequested: !isProgress,
    });
    this.#lastSentMs = nowMs;
    this.#reported = this.#durable;
    this.#isRequested = false;
  }

  async #take(message: WalMessage): Promise<void> {
    this.#options.onServerEnd(message.walEnd);
    if (message.kind === 'wal') {
      this.#options.idle.moved();
      await this.#accept(message);
      return;
    }
    if (message.replyRequested) this.#isRequested = true;
    if (message.walEnd === this.#position) {
      const { timeline } = this.#options;
      this.#options.idle.seen({ timeline, lsn: this.#position, at: message.sentAt });
    }
  }

  async #accept({ start, bytes }: WalDataMessage): Promise<void> {
    const { segmentBytes, spool, timeline } = this.#options;
    if (start !== this.#position) {
      throw outOfOrder(start, this.#position);
    }
    let rest: Uint8Array = bytes;
    while (rest.length > 0) {
      const offset = offsetInSegment(this.#position, segmentBytes);
      if (offset === 0) {
        const number = segmentNumberAt(this.#position, segmentBytes);
        await spool.begin(formatSegmentName({ timeline, number }, segmentBytes));
      }
      const part = rest.subarray(0, segmentBytes - offset);
      this.#unwritten.push(part);
      this.#position = toLsn(this.#position + BigInt(part.length));
      if (offset + part.length === segmentBytes) {
        await this.#flush();
        await spool.finish();
      }
      rest = rest.subarray(part.length);
    }
  }

  /** A batch is written at once: a write of its own for every message would cost more than the copying. */
  async #flush(): Promise<void> {
    const parts = this.#unwritten;
    if (parts.length === 0) return;
    this.#unwritten = [];
    await this.#options.spool.append(parts);
  }

  /** Does not read while the spool is full: the server then keeps the WAL, because of the slot. */
  async #waitForSpace(): Promise<void> {
    const { spool, spoolBytesMax, segmentBytes, onFull, signal } = this.#options;
    const isFull = (): boolean => spool.usedBytes + segmentBytes > spoolBytesMax;
    // The open segment must be able to go on, or nothing could ever be stored and removed.
    if (!isFull() || spool.completeNames.length === 0) return;
    onFull(true);
    while (isFull() && spool.completeNames.length > 0 && !signal.aborted) {
      this.#reportIfDue();
      await pause(FULL_TICK_MS, signal);
      this.#lastHeardMs = Date.now();
    }
    onFull(false);
  }

  async #stop(): Promise<WalStreamEnd> {
    const { stream } = this.#options;
    this.#isRequested = true;
    this.#reportIfDue();
    stream.stop();
    const deadline = Date.now() + STOP_MS_MAX;
    // What still comes was not asked for any more and is received again next time.
    while (stream.end === null && Date.now() < deadline) {
      await stream.readBatch({ timeoutMs: STOP_MS_MAX });
    }
    return { reason: 'stopped' };
  }
}
