import { setTimeout as delay } from 'node:timers/promises';

/** Waits `durationMs`, or rejects with the signal's reason as soon as it is aborted. */
export async function sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(durationMs, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

export type BackoffOptions = {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Injected for tests; a number in [0, 1). */
  readonly random?: () => number;
};

/** Exponential delays with jitter: the nth call answers between half of and the whole `firstMs · 2ⁿ`, at most `maxMs`. */
export class Backoff {
  readonly #options: BackoffOptions;
  #attempt = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  nextDelayMs(): number {
    const { firstMs, maxMs, random = Math.random } = this.#options;
    const ceiling = Math.min(maxMs, firstMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    return Math.round(ceiling * (0.5 + random() / 2));
  }

  reset(): void {
    this.#attempt = 0;
  }
}
