import { Worker } from 'node:worker_threads';
import { deserializeError, type SerializedError } from '../lib/serialized-error.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { workerUrl } from '../lib/worker-url.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { runCheckTask, type CheckTask, type CheckVerdict } from './check-task.ts';

/** What a worker answers to each task. */
export type CheckAnswer = { readonly verdict: CheckVerdict } | { readonly error: SerializedError };

export type CheckLanesOptions = {
  readonly store: ObjectStore;
  readonly jobs: number;
  readonly signal: AbortSignal;
};

/** Checks objects, several at once by threads, or one after the other in the caller's own. */
export class CheckLanes {
  readonly #options: CheckLanesOptions;
  readonly #workers: readonly Worker[];

  constructor(options: CheckLanesOptions) {
    this.#options = options;
    const { jobs, store } = options;
    this.#workers =
      jobs === 1
        ? []
        : Array.from(
            { length: jobs },
            () =>
              new Worker(workerUrl('check-worker', import.meta.url), {
                workerData: store.description,
              }),
          );
  }

  /** Checks every task; verdicts come in any order. Rejects with the first failure that is not about one object. */
  async run<Task extends CheckTask>(
    tasks: AsyncIterable<Task> | Iterable<Task>,
    onVerdict: (task: Task, verdict: CheckVerdict) => void,
  ): Promise<void> {
    const { store, signal } = this.#options;
    const iterator = iterate(tasks);
    const lane = async (check: (task: Task) => Promise<CheckVerdict>): Promise<void> => {
      for (;;) {
        signal.throwIfAborted();
        const next = await iterator.next();
        if (next.done === true) return;
        onVerdict(next.value, await check(next.value));
      }
    };
    if (this.#workers.length === 0) {
      await lane(async (task) => runCheckTask(store, task, signal));
      return;
    }
    await Promise.all(
      this.#workers.map(async (worker) => lane(async (task) => askWorker(worker, task, signal))),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.terminate()));
  }
}

async function* iterate<Task>(
  tasks: AsyncIterable<Task> | Iterable<Task>,
): AsyncGenerator<Task, void> {
  yield* tasks;
}

async function askWorker(
  worker: Worker,
  task: CheckTask,
  signal: AbortSignal,
): Promise<CheckVerdict> {
  const { promise, resolve, reject } = Promise.withResolvers<CheckVerdict>();
  const onMessage = (answer: CheckAnswer): void => {
    if ('verdict' in answer) resolve(answer.verdict);
    else reject(deserializeError(answer.error));
  };
  const onExit = (code: number): void =>
    reject(new WalnutError('failed', `verify: a worker thread ended with code ${code}`));
  const onAbort = (): void => reject(signal.reason as Error);
  worker.once('message', onMessage).once('error', reject).once('exit', onExit);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    worker.postMessage(task);
    return await promise;
  } finally {
    worker.off('message', onMessage).off('error', reject).off('exit', onExit);
    signal.removeEventListener('abort', onAbort);
  }
}
