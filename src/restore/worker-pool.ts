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

/**
 * A worker's content lies in buffers that it keeps; left to itself V8 takes 40 MB for the few objects beside them, and no less
 * time.
 */
const YOUNG_MEGABYTES = 6;

/** Worker threads that work off one stream of tasks. The first failure ends them all. */
export class WorkerPool<Task> {
  readonly #workers: readonly Worker[];
  /** Of the first worker that ended; met by who deals tasks next. */
  #failure: Error | null = null;

  constructor({ module, workers, setup }: WorkerPoolOptions) {
    this.#workers = Array.from(
      { length: workers },
      () =>
        new Worker(workerUrl(module, import.meta.url), {
          workerData: setup,
          resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEGABYTES },
        }),
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
      let following = iterator.next();
      for (;;) {
        const next = await following;
        if (next.done === true || isStopped) return;
        options.signal.throwIfAborted();
        const post = (): void =>
          worker.postMessage(next.value, options.transfer?.(next.value) ?? []);
        if (this.#failure !== null) throw this.#failure;
        // Made while the worker is busy. A failure is met when its turn comes.
        following = iterator.next();
        following.catch(() => undefined);
        const answered = await answerOf(worker, post, options.signal);
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

async function answerOf(worker: Worker, post: () => void, signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const onMessage = (answer: WorkerAnswer): void => {
    if (answer.kind === 'done') resolve(answer.readBytes);
    else reject(deserializeError(answer.failure));
  };
  const onExit = (code: number): void => reject(workerEnded(code));
  const onAbort = (): void => reject(signal.reason as Error);
  worker.once('message', onMessage).once('error', reject).once('exit', onExit);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    post();
    return await promise;
  } finally {
    worker.off('message', onMessage).off('error', reject).off('exit', onExit);
    signal.removeEventListener('abort', onAbort);
  }
}
