import { WalnutError } from '../lib/walnut-error.ts';
import { withTimeout } from '../lib/with-timeout.ts';

/** Every command before a stream is answered in milliseconds by a server that works. */
export const ANSWER_MS_MAX = 60_000;

/**
 * What a server answers before it streams. The network may have swallowed the answer: that is a `timeout`, and a stop does
 * not wait for it. The work itself goes on: whoever started it closes the session that it hangs on.
 */
export async function answered<T>(
  work: Promise<T>,
  { signal, limitMs }: { readonly signal: AbortSignal; readonly limitMs: number },
): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  const onAbort = (): void => stopped.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort);
  try {
    return await withTimeout(Promise.race([work, stopped.promise]), limitMs, () => {
      throw new WalnutError(
        'timeout',
        `set up the WAL stream: the server did not answer within ${limitMs / 1000} s`,
        { hint: 'Is the network between here and the server broken, or a process on it stopped?' },
      );
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    work.catch(() => undefined);
  }
}
