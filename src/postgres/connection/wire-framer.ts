/** Message types of the backend. Source: https://www.postgresql.org/docs/18/protocol-message-formats.html */
export const WIRE = {
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  errorResponse: 0x45, // E
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

export type CopyPart = { readonly first: boolean; readonly last: boolean };

export type WireHandler = {
  /** A whole message other than CopyData, without a copy where it lies whole in its chunk. */
  message(type: number, body: Buffer): void;
  /** A part of a CopyData body, without a copy; parts of one message follow each other. */
  copyData(part: Buffer, position: CopyPart): void;
};

const HEADER_BYTES = 5;
/** No message but CopyData grows beyond this here; a larger length means that the stream is not PostgreSQL's. */
const MESSAGE_BYTES_MAX: number = 64 * 1024 * 1024;

/**
 * Cuts the backend's byte stream into messages, whatever the chunks are. CopyData, which may be large and is what a
 * backup consists of, is passed on in the pieces in which it arrives; all else is assembled.
 */
export class WireFramer {
  readonly #handler: WireHandler;
  /** Bytes of an incomplete header or message, joined lazily. */
  #pending: Buffer | null = null;
  /** What is left of the CopyData message in progress; -1 outside of one. */
  #copyLeft = -1;
  #copyFirst = false;
  #stopped = false;

  constructor(handler: WireHandler) {
    this.#handler = handler;
  }

  /**
   * Takes the next bytes, of which it keeps none after the call. Answers what was not looked at because the handler called {@link stop}, else null.
   * @throws RangeError when a length is impossible.
   */
  push(chunk: Buffer): Buffer | null {
    let bytes = chunk;
    if (this.#pending !== null) {
      bytes = Buffer.concat([this.#pending, chunk]);
      this.#pending = null;
    }
    let at = 0;
    while (!this.#stopped) {
      if (this.#copyLeft >= 0) {
        at = this.#takeCopyData(bytes, at);
        if (this.#copyLeft >= 0) return null;
        continue;
      }
      const next = this.#takeMessage(bytes, at);
      if (next === at) {
        if (at < bytes.length) this.#pending = Buffer.from(bytes.subarray(at));
        return null;
      }
      at = next;
    }
    return at < bytes.length ? bytes.subarray(at) : Buffer.alloc(0);
  }

  /** Ends the framing after the message that is being handled. */
  stop(): void {
    this.#stopped = true;
  }

  /** Answers the offset after the message at `at`, or `at` when it is incomplete. */
  #takeMessage(bytes: Buffer, at: number): number {
    if (bytes.length - at < HEADER_BYTES) return at;
    const type = bytes.readUInt8(at);
    const length = bytes.readUInt32BE(at + 1);
    if (length < 4)
      throw new RangeError(`message "${String.fromCharCode(type)}" of ${length} bytes`);
    const body = at + HEADER_BYTES;
    if (type === WIRE.copyData) {
      this.#copyLeft = length - 4;
      this.#copyFirst = true;
      return body;
    }
    if (length > MESSAGE_BYTES_MAX) {
      throw new RangeError(`message "${String.fromCharCode(type)}" of ${length} bytes`);
    }
    const end = at + 1 + length;
    if (end > bytes.length) return at;
    this.#handler.message(type, bytes.subarray(body, end));
    return end;
  }

  #takeCopyData(bytes: Buffer, at: number): number {
    const count = Math.min(this.#copyLeft, bytes.length - at);
    const last = count === this.#copyLeft;
    if (count === 0 && !last) return at;
    const first = this.#copyFirst;
    this.#copyFirst = false;
    this.#copyLeft = last ? -1 : this.#copyLeft - count;
    this.#handler.copyData(bytes.subarray(at, at + count), { first, last });
    return at + count;
  }
}
