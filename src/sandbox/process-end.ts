type Cleanup = () => void;

const cleanups = new Set<Cleanup>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs `cleanup` (synchronous) when this process ends: by `exit`, by an uncaught error, or by a signal that nobody
 * else in the process handles. Later registrations run first. Returns the function that takes it back.
 */
export function onProcessEnd(cleanup: Cleanup): () => void {
  if (cleanups.size === 0) listen();
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
    if (cleanups.size === 0) unlisten();
  };
}

function runCleanups(): void {
  for (const cleanup of [...cleanups].toReversed()) {
    cleanups.delete(cleanup);
    try {
      cleanup();
    } catch {
      // The process is ending and the other cleanups still have to run.
    }
  }
}

/** With a handler of its own, the program decides about the signal and its `exit` comes here later. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  runCleanups();
  unlisten();
  process.kill(process.pid, signal);
}

function listen(): void {
  process.on('exit', runCleanups);
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function unlisten(): void {
  process.off('exit', runCleanups);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
