import { sleep } from '../lib/sleep.ts';

/** Waits, but no longer than until `signal` is aborted, which is no error here. */
export async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(durationMs, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
