/** The copy workers as the main thread sees them: tasks in, results out in the order of the tasks. */
import { Worker } from 'node:worker_threads';
import { deserializeError } from '../lib/serialized-error.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { sleep } from '../lib/sleep.ts';
import { workerUrl } from '../lib/worker-url.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type {
  BlockDamage,
  CopyWorkerData,
  FromWorker,
  ItemResult,
  ToWorker,
} from './copy-messages.ts';
import { PackNames } from './pack-names.ts';

/** Tasks under way per worker: one in work, one waiting, so that no worker idles for the main thread. */
const TASKS_PER_WORKER = 2;

export type CopyObserver = {
  readonly onRead: (readBytes: number, storedBytes: number) => void;
  readonly onResults: (task: number, results: readonly ItemResult[]) => Promise<void>;
  readonly onDamage: (damage: readonly BlockDamage[]) => void;
};

type Peer = {
  readonly worker: Worker;
  readonly exited: Promise<void>;
  pending: number;
  storedBytes: number;
  packs: readonly FinishedPack[] | null;
};

export type TaskMessage = Extract<ToWorker, { kind: 'task' | 'pushed' }>;

const UNOBSERVED: CopyObserver = {
  onRead: () => undefined,
  onResults: async () => undefined,
  onDamage: () => undefined,
};

/** Results wait for those of an earlier task; each holds the extents of up to a gigabyte. */
const UNDELIVERED_MAX = 16;

/** A worker stops within a few reads; one that hangs in a read is ended without asking. */
export const ABORT_MS_MAX = 5000;

/** The threads start at once and touch nothing before {@link begin}: they are ready when it is known what is to be copied. */
export class CopyWorkers {
  readonly #peers: Peer[];
  #observer: CopyObserver = UNOBSERVED;
  readonly #results = new Map<number, readonly ItemResult[]>();
  readonly #names = new PackNames();
  readonly #waiters = new Set<() => void>();
  #nextResult = 0;
  /** Tasks that are done and not yet in the map. */
  #undelivered = 0;
  #delivering: Promise<void> = Promise.resolve();
  #failure: Error | null = null;

  readonly #onAbort = (): void => this.#fail(this.#signal.reason as Error);
  readonly #signal: AbortSignal;

  constructor(count: number, signal: AbortSignal) {
    this.#signal = signal;
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#peers = Array.from({ length: count }, () => this.#start());
  }

  get count(): number {
    return this.#peers.length;
  }

  /** Says what is copied, from where and to where; before the first task. */
  begin(data: CopyWorkerData, observer: CopyObserver): void {
    this.#observer = observer;
    for (const { worker } of this.#peers)
      worker.postMessage({ kind: 'begin', data } satisfies ToWorker);
  }

  /** Hands a task to the least busy worker; waits while all have enough, and while results pile up undelivered. */
  async send(message: TaskMessage, transfer: readonly ArrayBuffer[] = []): Promise<void> {
    for (;;) {
      this.#throwFailure();
      const peer = this.#peers.toSorted((first, second) => first.pending - second.pending)[0];
      const isRoom = this.#undelivered < UNDELIVERED_MAX;
      if (isRoom && peer !== undefined && peer.pending < TASKS_PER_WORKER) {
        peer.pending += 1;
        peer.worker.postMessage(message, [...transfer]);
        return;
      }
      await this.#change();
    }
  }

  /** A task in which nothing is read: its turn comes with no results. */
  async skip(task: number): Promise<void> {
    while (this.#undelivered >= UNDELIVERED_MAX) {
      this.#throwFailure();
      await this.#change();
    }
    this.#throwFailure();
    this.#take(task, []);
  }

  /** Waits for every task and makes all packs durable. */
  async finish(): Promise<readonly FinishedPack[]> {
    for (const { worker } of this.#peers) worker.postMessage({ kind: 'finish' } satisfies ToWorker);
    while (this.#peers.some(({ packs }) => packs === null)) {
      this.#throwFailure();
      await this.#change();
    }
    await this.#delivering;
    this.#throwFailure();
    return this.#peers.flatMap(({ packs }) => packs ?? []);
  }

  /** Ends the threads, which discard their unfinished packs: on a full disk that is the room one needs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
    const running = this.#peers.filter(({ packs }) => packs === null);
    for (const { worker } of running) worker.postMessage({ kind: 'abort' } satisfies ToWorker);
    const ended = Promise.all(running.map(async ({ exited }) => exited));
    await Promise.race([ended, sleep(ABORT_MS_MAX)]);
    await Promise.all(this.#peers.map(async ({ worker }) => worker.terminate()));
  }

  #start(): Peer {
    const worker = new Worker(workerUrl('copy-worker', import.meta.url));
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
    });
    const peer: Peer = { worker, exited, pending: 0, storedBytes: 0, packs: null };
    worker.on('message', (message: FromWorker) => this.#receive(peer, message));
    worker.on('error', (error) => this.#fail(error as Error));
    worker.on('exit', (code) => {
      if (peer.packs === null) {
        this.#fail(new WalnutError('failed', `copy files: a worker thread ended early (${code})`));
      }
    });
    return peer;
  }

  #receive(peer: Peer, message: FromWorker): void {
    if (message.kind === 'progress') {
      peer.storedBytes = message.storedBytes;
      const stored = this.#peers.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
      this.#observer.onRead(message.readBytes, stored);
    } else if (message.kind === 'done') {
      peer.pending -= 1;
      this.#observer.onDamage(message.damage);
      this.#names.unite(message.results);
      this.#take(message.task, message.results);
    } else if (message.kind === 'finished') {
      peer.packs = message.packs;
    } else {
      this.#fail(deserializeError(message.error));
    }
    this.#wake();
  }

  /** Passes results on in the order of their tasks, whatever order they arrived in. */
  #take(arrived: number, arrivedResults: readonly ItemResult[]): void {
    this.#results.set(arrived, arrivedResults);
    this.#undelivered += 1;
    for (;;) {
      const task = this.#nextResult;
      const results = this.#results.get(task);
      if (results === undefined) return;
      this.#results.delete(task);
      this.#nextResult += 1;
      this.#delivering = this.#deliver(this.#delivering, task, results);
    }
  }

  async #deliver(
    before: Promise<void>,
    task: number,
    results: readonly ItemResult[],
  ): Promise<void> {
    await before;
    try {
      await this.#observer.onResults(task, results);
    } catch (error) {
      this.#fail(error as Error);
    }
    this.#undelivered -= 1;
    this.#wake();
  }

  async #change(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiters.add(resolve);
    });
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure;
  }
}
