import { Worker } from 'node:worker_threads';
import { deserializeError, type SerializedError } from '../lib/serialized-error.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { workerUrl } from '../lib/worker-url.ts';
import type { StoreDescription } from '../storage/object-store.ts';
import type { WalDestination } from './store-segment.ts';

/** A destination in a form that crosses threads. */
export type PushThreadSetup = Omit<WalDestination, 'store'> & { readonly store: StoreDescription };

export type PushTask = { readonly path: string };

export type PushAnswer = PushTask & { readonly failure: SerializedError | null };

/** Stores WAL files in a thread of its own, because walking and compressing a segment takes a whole core. */
export class PushThread {
  readonly #worker: Worker;
  readonly #pending = new Map<string, PromiseWithResolvers<void>>();
  #end: Error | null = null;

  constructor({ store, server, incarnation, level }: WalDestination) {
    const setup: PushThreadSetup = { store: store.description, server, incarnation, level };
    this.#worker = new Worker(workerUrl('push-worker', import.meta.url), { workerData: setup });
    this.#worker.on('message', ({ path, failure }: PushAnswer) => {
      const pending = this.#pending.get(path);
      this.#pending.delete(path);
      if (failure === null) pending?.resolve();
      else pending?.reject(deserializeError(failure));
    });
    this.#worker.on('error', (error) => this.#fail(error as Error));
    this.#worker.on('exit', (code) =>
      this.#fail(new WalnutError('failed', `push WAL: a worker thread ended with code ${code}`)),
    );
  }

  /** As `pushFile`; several may be under way, of different paths. Rejects also when the thread ends. */
  async push(path: string): Promise<void> {
    if (this.#end !== null) throw this.#end;
    const pending = Promise.withResolvers<void>();
    this.#pending.set(path, pending);
    this.#worker.postMessage({ path } satisfies PushTask);
    await pending.promise;
  }

  /** To be called when nothing is under way. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.#end ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#end);
    this.#pending.clear();
  }
}
