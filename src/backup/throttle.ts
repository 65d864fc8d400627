import { sleep } from '../lib/sleep.ts';

/** Keeps a stream of work below a rate by making the one who spends wait. */
export type Throttle = { spend(bytes: number): Promise<void> };

/** A burst of a fifth of a second may pass at once, so that small reads do not wait one by one. */
const BURST_MS = 200;

export function newThrottle(bytesPerSecond: number | null, now: () => number = Date.now): Throttle {
  if (bytesPerSecond === null) return { spend: async () => undefined };
  let freeAtMs = now();
  return {
    spend: async (bytes) => {
      freeAtMs = Math.max(freeAtMs, now() - BURST_MS) + (bytes / bytesPerSecond) * 1000;
      const waitMs = freeAtMs - now();
      if (waitMs > 0) await sleep(waitMs);
    },
  };
}
