import type { Wait } from '../lib/wait.ts';
import { sleep } from '../lib/sleep.ts';

/** Keeps a stream of work below a rate by making the one who spends wait. */
export type Throttle = {
  /** @throws the signal's reason when it is time to stop. */
  spend(bytes: number): Wait;
};

/** A burst of a fifth of a second may pass at once, so that small reads do not wait one by one. */
const BURST_MS = 200;

/** @param signal ends a wait, and every later one: whoever spends is to stop. */
export function newThrottle(bytesPerSecond: number | null, signal: AbortSignal): Throttle {
  if (bytesPerSecond === null) {
    return {
      spend: () => {
        signal.throwIfAborted();
        return undefined;
      },
    };
  }
  let freeAtMs = Date.now();
  return {
    spend: async (bytes) => {
      freeAtMs = Math.max(freeAtMs, Date.now() - BURST_MS) + (bytes / bytesPerSecond) * 1000;
      const waitMs = freeAtMs - Date.now();
      if (waitMs > 0) await sleep(waitMs, signal);
      else signal.throwIfAborted();
    },
  };
}
