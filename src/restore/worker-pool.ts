import { Worker, type Transferable } from 'node:worker_threads';
import { WalnutError } from '../lib/walnut-error.ts';
import { workerUrl } from '../lib/worker-url.ts';
import type { WorkerAnswer } from './place-protocol.ts';
import { deserializeError } from '../lib/serialized-error.ts';

export type WorkerPoolOptions = {
  /** A worker module beside this one, without its extension; it answers each message by one `WorkerAnswer`. */
  readonly module: string;
  readonly workers: number;
  /** Structured-cloneable. */
  readonly setup: unknown;
};

/** Tasks that a worker has at a time: it begins the second while what the first one filled last is being written. */
const TASKS_PER_WORKER = 2;

/** Worker threads that work off one stream of tasks. The first failure ends them all. */
export class WorkerPool<Task> {
  readonly #workers: readonly Worker[];
  /** Of the first worker that ended; met by who deals tasks next. */
  #failure: Error | null = null;

  constructor({ module, workers, setup }: WorkerPoolOptions) {
    this.#workers = Array.from(
      { length: workers },
      () => new Worker(workerUrl(module, import.meta.url), { workerData: setup }),
    );
    for (const worker of this.#workers) {
      worker.on('error', (error) => (this.#failure ??= error as Error));
      worker.on('exit', (code) => (this.#failure ??= workerEnded(code)));
    }
  }

  /**
   * Deals the tasks to whichever worker is free, until there are none left; answers the bytes read from the repository.
   * Rejects with the first failure, or with the signal's reason; the pool is then of no use any more.
   */
  async run(
    tasks: Iterable<Task> | AsyncIterable<Task>,
    options: {
      readonly signal: AbortSignal;
      /** What of a task moves to the worker instead of being copied. */
      readonly transfer?: (task: Task) => Transferable[];
    },
  ): Promise<number> {
    const iterator = iteratorOf(tasks);
    let readBytes = 0;
    let isStopped = false;
    const lane = async (worker: Worker): Promise<void> => {
      using answers = new Answers(worker, options.signal);
      const asked: Promise<number>[] = [];
      let following = iterator.next();
      for (;;) {
        const next = await following;
        if (isStopped) return;
        options.signal.throwIfAborted();
        if (this.#failure !== null) throw this.#failure;
        if (next.done !== true) {
          worker.postMessage(next.value, options.transfer?.(next.value) ?? []);
          asked.push(answers.next());
          // Made while the worker is busy. A failure is met when its turn comes.
          following = iterator.next();
          following.catch(() => undefined);
          if (asked.length < TASKS_PER_WORKER) continue;
        }
        const first = asked.shift();
        if (first === undefined) return;
        const answered = await first;
        // Not in one statement: the sum would be read before the wait, and what other lanes added meanwhile lost.
        readBytes += answered;
      }
    };
    try {
      await Promise.all(this.#workers.map(lane));
    } catch (error) {
      isStopped = true;
      await this.close();
      throw error;
    }
    return readBytes;
  }

  /** Ends the threads; what they were writing stays unfinished. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function workerEnded(code: number): WalnutError {
  return new WalnutError('failed', `place files: a worker thread ended with code ${code}`);
}

async function* iteratorOf<Task>(
  tasks: Iterable<Task> | AsyncIterable<Task>,
): AsyncGenerator<Task, void> {
  yield* tasks;
}

/** The answers of one worker, each to the task that was sent to it first of those that wait. */
class Answers implements Disposable {
  readonly #worker: Worker;
  readonly #signal: AbortSignal;
  readonly #waiting: PromiseWithResolvers<number>[] = [];
  readonly #onMessage = (answer: WorkerAnswer): void => {
    const first = this.#waiting.shift();
    if (answer.kind === 'done') first?.resolve(answer.readBytes);
    else first?.reject(deserializeError(answer.failure));
  };
  readonly #onError = (error: unknown): void => this.#fail(error as Error);
  readonly #onExit = (code: number): void => this.#fail(workerEnded(code));
  readonly #onAbort = (): void => this.#fail(this.#signal.reason as Error);

  constructor(worker: Worker, signal: AbortSignal) {
    this.#worker = worker;
    this.#signal = signal;
    worker.on('message', this.#onMessage).on('error', this.#onError).on('exit', this.#onExit);
    signal.addEventListener('abort', this.#onAbort);
  }

  next(): Promise<number> {
    const waiting = Promise.withResolvers<number>();
    this.#waiting.push(waiting);
    // A failure is met when its turn comes.
    waiting.promise.catch(() => undefined);
    return waiting.promise;
  }

  [Symbol.dispose](): void {
    const worker = this.#worker;
    worker.off('message', this.#onMessage).off('error', this.#onError).off('exit', this.#onExit);
    this.#signal.removeEventListener('abort', this.#onAbort);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
