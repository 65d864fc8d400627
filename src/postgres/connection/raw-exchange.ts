import type { Socket } from 'node:net';
import type { Connection } from 'pg';
import { assert } from '../../lib/assert.ts';
import { takeReads } from './reusing-socket.ts';
import { parseServerMessage, ServerError } from './server-error.ts';
import { WIRE, WireFramer, type CopyPart } from './wire-framer.ts';

export type ExchangeReceiver = {
  /** True when no part of CopyData is used after the call that brought it: its memory may be read into again then. */
  readonly copiesAtOnce?: boolean;
  /** A message other than CopyData, notices and errors. `body` may be kept. */
  message(type: number, body: Buffer): void;
  /** Part of a CopyData message; see {@link WireFramer}. */
  copyData?(part: Buffer, position: CopyPart): void;
  /** The server refused or aborted; ReadyForQuery or the end of the connection follows. */
  failed(error: Error): void;
  /** The server is ready for the next command, or (with `lost`) the connection is gone. Called once, last. */
  finished(lost: Error | null): void;
};

/** Types that arrive at any time and stay `pg`'s: notice, parameter status, notification. */
const ASYNCHRONOUS: ReadonlySet<number> = new Set([0x4e, 0x53, 0x41]);

/**
 * One command whose answer is read byte by byte, past `pg`'s own parser: that one turns row values into text, copies
 * CopyData and knows no CopyBoth. Takes the socket's data from `pg` when the command is sent and gives it back with
 * ReadyForQuery, as pg-copy-streams does. Submitted through `Client.query`, so it keeps its place in the queue.
 */
export class RawExchange {
  readonly #command: string;
  readonly #receiver: ExchangeReceiver;
  readonly #framer: WireFramer;
  #connection: Connection | null = null;
  #givenBack: ((chunk: Buffer) => void) | null = null;
  #isReusing = false;
  #finished = false;
  #failure: Error | null = null;

  constructor(command: string, receiver: ExchangeReceiver) {
    this.#command = command;
    this.#receiver = receiver;
    this.#framer = new WireFramer({
      message: (type, body) => this.#onMessage(type, body),
      copyData: (part, position) => receiver.copyData?.(part, position),
    });
  }

  /** Called by `pg` when it is this command's turn. */
  submit(connection: Connection): null {
    this.#connection = connection;
    const stream = connection.stream;
    const listeners = stream.listeners('data');
    assert(listeners.length === 1, `pg has ${listeners.length} listeners for data`);
    this.#givenBack = listeners[0] as (chunk: Buffer) => void;
    stream.removeListener('data', this.#givenBack);
    stream.on('data', this.#onData);
    this.#isReusing = this.#receiver.copiesAtOnce === true && takeReads(stream, this.#onData);
    connection.query(this.#command);
    return null;
  }

  /** Sends a whole frontend message; answers false when the socket's buffer is full. */
  send(message: Uint8Array): boolean {
    const stream = this.#socket();
    return stream === null || !stream.writable ? false : stream.write(message);
  }

  pause(): void {
    if (!this.#finished) this.#socket()?.pause();
  }

  resume(): void {
    if (!this.#finished) this.#socket()?.resume();
  }

  /** Ends the whole connection: the only way out of a command that the server does not end. */
  destroy(error: Error): void {
    if (this.#finished) return;
    this.#failure ??= error;
    this.#socket()?.destroy();
  }

  /** Called by `pg` when the connection is lost. */
  handleError(error: Error): void {
    this.#finish(this.#failure ?? error);
  }

  /** Called by `pg` after {@link #giveBack} showed it the ReadyForQuery. */
  handleReadyForQuery(): void {
    this.#finish(null);
  }

  #socket(): Socket | null {
    return (this.#connection?.stream as Socket | undefined) ?? null;
  }

  readonly #onData = (chunk: Buffer): void => {
    let rest: Buffer | null;
    try {
      rest = this.#framer.push(chunk);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (rest !== null && rest.length > 0) this.#givenBack?.(this.#kept(rest));
  };

  #onMessage(type: number, body: Buffer): void {
    if (type === WIRE.readyForQuery) {
      this.#giveBack(body);
    } else if (type === WIRE.errorResponse) {
      const error = new ServerError(parseServerMessage(body));
      // A FATAL error closes the connection: it, not the closing, is the reason.
      if (error.severity === 'FATAL' || error.severity === 'PANIC') this.#failure = error;
      this.#receiver.failed(error);
    } else if (ASYNCHRONOUS.has(type)) {
      this.#givenBack?.(frame(type, body));
    } else {
      this.#receiver.message(type, this.#kept(body));
    }
  }

  #kept(bytes: Buffer): Buffer {
    return this.#isReusing ? Buffer.from(bytes) : bytes;
  }

  #giveBack(body: Buffer): void {
    const stream = this.#socket();
    const listener = this.#givenBack;
    assert(stream !== null && listener !== null, 'an exchange gives back what it took');
    this.#framer.stop();
    if (this.#isReusing) takeReads(stream, null);
    stream.removeListener('data', this.#onData);
    stream.on('data', listener);
    stream.resume();
    listener(frame(WIRE.readyForQuery, body));
  }

  #finish(lost: Error | null): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#receiver.finished(lost);
  }
}

/** A message with its header. */
export function frame(type: number, body: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(body.length + 5);
  message.writeUInt8(type, 0);
  message.writeUInt32BE(body.length + 4, 1);
  message.set(body, 5);
  return message;
}
