type Step = () => void | Promise<void>;

export type EventPumpOptions = {
  /** Called when a step answered a promise: no more steps should be made. */
  readonly onPause: () => void;
  readonly onResume: () => void;
  /** A step threw or rejected; no step runs any more. */
  readonly onError: (error: unknown) => void;
};

/**
 * Runs steps in order. Synchronous ones run at once, inside `push`; after one that answers a promise the others wait.
 * The queue is bounded by what its pusher can hold before it pauses: one chunk of a socket.
 */
export class EventPump {
  readonly #options: EventPumpOptions;
  #queue: Step[] = [];
  #busy = false;
  #stopped = false;

  constructor(options: EventPumpOptions) {
    this.#options = options;
  }

  push(step: Step): void {
    if (this.#stopped) return;
    if (this.#busy) this.#queue.push(step);
    else this.#run(step);
  }

  stop(): void {
    this.#stopped = true;
    this.#queue = [];
  }

  #run(step: Step): void {
    try {
      const pending = step();
      if (pending === undefined) return;
      this.#busy = true;
      this.#options.onPause();
      pending.then(
        () => this.#goOn(),
        (error: unknown) => this.#options.onError(error),
      );
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #goOn(): void {
    this.#busy = false;
    let done = 0;
    while (done < this.#queue.length && !this.#busy && !this.#stopped) {
      const step = this.#queue[done];
      done += 1;
      if (step !== undefined) this.#run(step);
    }
    this.#queue = this.#queue.slice(done);
    if (!this.#busy && !this.#stopped) this.#options.onResume();
  }
}
