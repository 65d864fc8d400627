import { constants } from 'node:os';
import { WalnutError } from '../lib/walnut-error.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

type SignalName = (typeof SIGNALS)[number];

/** A shell sees a process that a signal ended as 128 and the signal's number. */
const EXIT_SIGNAL_BASE = 128;
const EXIT_INTERRUPTED: number = EXIT_SIGNAL_BASE + constants.signals.SIGINT;

export type Interruption = {
  /** Aborted by the first signal, with a WalnutError `interrupted`. */
  readonly signal: AbortSignal;
  /** 130 becomes the code of the signal that really came. */
  readonly exitCode: (code: number) => number;
};

/** The first SIGINT, SIGTERM or SIGHUP asks the command to end, the second one kills the process. */
export function listenForSignals(): Interruption {
  const controller = new AbortController();
  let received: SignalName | null = null;
  const receive = (name: SignalName): void => {
    if (received !== null) {
      for (const each of SIGNALS) process.removeAllListeners(each);
      process.kill(process.pid, name);
      return;
    }
    received = name;
    if (process.stderr.isTTY) process.stderr.write('\nstopping; press Ctrl-C again to kill\n');
    controller.abort(new WalnutError('interrupted', `interrupted by ${name}`));
  };
  for (const name of SIGNALS) process.on(name, receive);
  const exitCode = (code: number): number =>
    received === null || code !== EXIT_INTERRUPTED
      ? code
      : EXIT_SIGNAL_BASE + constants.signals[received];
  return { signal: controller.signal, exitCode };
}
