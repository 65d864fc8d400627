/**
 * Receives a server's WAL through a replication slot into the repository, until it is told to stop.
 *
 * Invariants:
 * - what is reported to the server as flushed is durable in the spool or the repository;
 * - a timeline's history is stored before any WAL of it;
 * - the next byte asked for is the first one behind the last whole segment that spool or repository hold; only WAL that
 *   the server no longer has is skipped, and then recorded as a gap;
 * - one receiver per server: it holds the server's WAL lease.
 */
import { recordArchiveProgress } from '../catalog/archive-progress.ts';
import { readWalInventory } from '../catalog/wal-inventory.ts';
import { sealIndexes } from '../catalog/wal-index.ts';
import { Backoff } from '../lib/sleep.ts';
import { hasCode, messageOf, type WalnutError } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { parseSegmentName } from '../postgres/segment-name.ts';
import { serverKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import type { LeaseOwner } from '../storage/object-store.ts';
import { ANSWER_MS_MAX } from './answered.ts';
import { ReceiverConnection, type ReceiverConnectionOptions } from './receiver-connection.ts';
import type { ReceiverProgress } from './receiver-event.ts';
import { Spool } from './spool.ts';
import { SpoolStorer } from './spool-storer.ts';
import { pause } from './pause.ts';
import type { WalDestination } from './store-segment.ts';
import { removeSuperfluousPieces } from './superfluous-pieces.ts';

const RECONNECT = { firstMs: 200, maxMs: 10_000 };
/** Enough for an hour without the repository at a few MB/s; behind it the server keeps the WAL, because of the slot. */
const SPOOL_BYTES_MAX: number = 8 * 1024 * 1024 * 1024;
/** How often idle time is recorded. */
const PROGRESS_INTERVAL_MS = 5000;

export type ReceiverOptions = WalDestination & {
  readonly connection: ConnectionSettings;
  readonly slot: string;
  /** What `synchronous_standby_names` may list. */
  readonly applicationName: string;
  readonly spoolFolder: string;
  readonly spoolBytesMax?: number;
  readonly pieceIntervalMs: number;
  /** How long the server may take to answer what comes before a stream; a minute. */
  readonly answerMsMax?: number;
  readonly owner: LeaseOwner;
  readonly onEvent: ReceiverProgress;
};

export class WalReceiver {
  readonly #options: ReceiverOptions;
  readonly #stop = new AbortController();
  readonly #streaming = Promise.withResolvers<void>();
  readonly #backoff = new Backoff(RECONNECT);
  #serverEnd: Lsn | null = null;
  #flushed: Lsn | null = null;
  #hasStreamed = false;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    // A receiver that never streams rejects `run`; nobody has to listen here as well.
    this.#streaming.promise.catch(() => {});
  }

  /** Resolves when WAL first streams; rejects when {@link run} ends before. */
  get streaming(): Promise<void> {
    return this.#streaming.promise;
  }

  /** Everything before it is durable; null before the first stream. */
  get flushed(): Lsn | null {
    return this.#flushed;
  }

  stop(): void {
    this.#stop.abort();
  }

  /**
   * Runs until {@link stop} or `signal`; then the last bytes are stored. Rejects with `locked` when another receiver has
   * the server, with `foreign-system`, `wal-conflict` or `object-damaged` when a person must look, and with what makes
   * connecting pointless (`authentication`, `permission`, `config`) as long as it has never worked.
   */
  async run(signal?: AbortSignal): Promise<void> {
    const { store, server, owner, onEvent } = this.#options;
    const lease = await store.acquireLease(serverKeys.walLease(server), owner).catch(this.#fail);
    try {
      await this.#runWithLease(this.#combined(signal));
    } catch (error) {
      this.#streaming.reject(error);
      throw error;
    } finally {
      await lease.release();
      onEvent({ kind: 'stopped', flushed: this.#flushed });
      this.#streaming.reject(new Error('the receiver was stopped'));
    }
  }

  readonly #fail = (error: unknown): never => {
    this.#streaming.reject(error);
    throw error;
  };

  #combined(signal: AbortSignal | undefined): AbortSignal {
    const own = this.#stop.signal;
    return signal === undefined ? own : AbortSignal.any([signal, own]);
  }

  async #runWithLease(signal: AbortSignal): Promise<void> {
    const { spoolFolder, incarnation, store } = this.#options;
    const inventory = await readWalInventory(store, this.#options);
    const place = { folder: spoolFolder, incarnation: nameOfIncarnation(incarnation) };
    const spool = await Spool.open(place, incarnation.walSegmentBytes);
    const storer = new SpoolStorer(
      { ...this.#options, spool, serverEnd: () => this.#serverEnd },
      inventory,
    );
    await removeSuperfluousPieces(store, inventory);
    await storer.recover();
    await sealIndexes(store, inventory);
    // An alarm of the one ends the other; the storer ends last, with the last bytes.
    const failed = new AbortController();
    const storing = new AbortController();
    const stored = storer.run(storing.signal).catch((error: unknown) => {
      failed.abort(error);
      throw error;
    });
    try {
      await this.#receive(spool, storer, AbortSignal.any([signal, failed.signal]));
    } finally {
      await spool.leave().catch(() => {});
      storing.abort();
      await stored;
    }
  }

  /** Connects again and again. */
  async #receive(spool: Spool, storer: SpoolStorer, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const options: ReceiverConnectionOptions = {
        ...this.#options,
        spoolBytesMax: this.#options.spoolBytesMax ?? SPOOL_BYTES_MAX,
        answerMsMax: this.#options.answerMsMax ?? ANSWER_MS_MAX,
        spool,
        storer,
        onStreaming: () => this.#onStreaming(),
        onServerEnd: (end) => {
          this.#serverEnd = end;
        },
        onFlushed: (lsn) => this.#onFlushed(lsn),
        onIdle: async (progress) => {
          await recordArchiveProgress(this.#options.store, this.#options, progress);
        },
        progressIntervalMs: PROGRESS_INTERVAL_MS,
        lastHeldSegments: async () => this.#lastHeldSegments(spool),
      };
      const connection = new ReceiverConnection(options, signal);
      try {
        await connection.run();
      } catch (error) {
        await spool.abandon();
        if (signal.aborted) return;
        if (this.#isFatal(error)) throw error;
        storer.hurry();
        await this.#wait(error, signal);
        continue;
      }
      storer.hurry();
      if (!signal.aborted) await this.#wait('the server is shutting down', signal);
    }
  }

  #onStreaming(): void {
    this.#hasStreamed = true;
    this.#streaming.resolve();
  }

  #onFlushed(lsn: Lsn): void {
    this.#flushed = lsn;
    this.#backoff.reset();
  }

  /** A segment that is held in part is received again from its start: what lies before it is held, or a recorded gap. */
  async #lastHeldSegments(spool: Spool): Promise<ReadonlyMap<number, bigint>> {
    const { walSegmentBytes } = this.#options.incarnation;
    const inventory = await readWalInventory(this.#options.store, this.#options);
    const last = new Map<number, bigint>();
    const note = (timeline: number, number: bigint): void => {
      if ((last.get(timeline) ?? -1n) < number) last.set(timeline, number);
    };
    for (const { timeline, runs, open } of inventory.timelines.values()) {
      for (const run of runs) note(timeline, run.last);
      for (const { number } of open) note(timeline, number - 1n);
    }
    for (const name of spool.completeNames) {
      const { timeline, number } = parseSegmentName(name, walSegmentBytes);
      note(timeline, number);
    }
    for (const { name } of spool.partials) {
      const { timeline, number } = parseSegmentName(name, walSegmentBytes);
      note(timeline, number - 1n);
    }
    return last;
  }

  #isFatal(error: unknown): error is WalnutError {
    if (hasCode(error, 'foreign-system', 'wal-conflict')) return true;
    // After a fail-over such an answer may pass; before the first success it is a mistake of the set-up.
    return (
      !this.#hasStreamed &&
      hasCode(error, 'authentication', 'permission', 'config', 'unsupported', 'repository-missing')
    );
  }

  async #wait(reason: unknown, signal: AbortSignal): Promise<void> {
    const delayMs = this.#backoff.nextDelayMs();
    const text = typeof reason === 'string' ? reason : messageOf(reason);
    this.#options.onEvent({ kind: 'retrying', reason: text, delayMs });
    await pause(delayMs, signal);
  }
}
