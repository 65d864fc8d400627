import { Worker } from 'node:worker_threads';
import { WalnutError } from '../lib/walnut-error.ts';
import { workerUrl } from '../lib/worker-url.ts';
import type { PlaceWorkerSetup, WorkerAnswer, WorkerTask } from './place-protocol.ts';
import { unpackFailure } from './worker-failure.ts';

/** The place workers of one restore. The first failure ends them all. */
export class WorkerPool {
  readonly #workers: readonly Worker[];

  constructor(jobs: number, setup: PlaceWorkerSetup) {
    this.#workers = Array.from(
      { length: jobs },
      () => new Worker(workerUrl('place-worker', import.meta.url), { workerData: setup }),
    );
  }

  /**
   * Deals the tasks to whichever worker is free, until there are none left; answers the bytes read from the repository.
   * Rejects with the first failure, or with the signal's reason; the pool is then of no use any more.
   */
  async run(
    tasks: Iterable<WorkerTask> | AsyncIterable<WorkerTask>,
    signal: AbortSignal,
  ): Promise<number> {
    const iterator = iteratorOf(tasks);
    let readBytes = 0;
    let isStopped = false;
    const lane = async (worker: Worker): Promise<void> => {
      for (;;) {
        const next = await iterator.next();
        if (next.done === true || isStopped) return;
        readBytes += await runTask(worker, next.value, signal);
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

async function* iteratorOf(
  tasks: Iterable<WorkerTask> | AsyncIterable<WorkerTask>,
): AsyncGenerator<WorkerTask, void> {
  yield* tasks;
}

async function runTask(worker: Worker, task: WorkerTask, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const onMessage = (answer: WorkerAnswer): void => {
    if (answer.kind === 'done') resolve(answer.readBytes);
    else reject(unpackFailure(answer.failure));
  };
  const onExit = (code: number): void =>
    reject(new WalnutError('failed', `place files: a worker thread ended with code ${code}`));
  const onAbort = (): void => reject(signal.reason as Error);
  worker.once('message', onMessage).once('error', reject).once('exit', onExit);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    worker.postMessage(task, task.kind === 'place' ? [task.placements.buffer] : []);
    return await promise;
  } finally {
    worker.off('message', onMessage).off('error', reject).off('exit', onExit);
    signal.removeEventListener('abort', onAbort);
  }
}
