/**
 * An incremental parser for `COPY … TO STDOUT (FORMAT binary)` with one `bytea` column: bytes in, values out, without
 * copying what lies whole in one piece.
 * https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
 */
import { WalnutError } from '../../lib/walnut-error.ts';

const SIGNATURE: Buffer = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** Signature, flags, length of the header extension. */
const HEADER_BYTES = 19;
const FIELDS_BYTES = 2;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;
const TRAILER = -1;

export type ValueSink = {
  /** A value begins: `length` bytes, or null. */
  begin(length: number | null): void;
  /** The next bytes of the value; a view that is valid only during the call. */
  data(part: Buffer): void;
  /** All bytes of a value have been given; answers a promise when the sink needs time. */
  end(): void | Promise<void>;
};

type State = 'header' | 'row' | 'length' | 'value' | 'done';

export class BinaryCopyParser {
  readonly #sink: ValueSink;
  #state: State = 'header';
  #fragment: Buffer = Buffer.alloc(0);
  #left = 0;

  constructor(sink: ValueSink) {
    this.#sink = sink;
  }

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Throws `postgresql` for bytes that are no such COPY. */
  async feed(bytes: Buffer): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 || this.#isEmptyValue()) {
      rest = this.#state === 'value' ? await this.#takeValue(rest) : await this.#takeHead(rest);
    }
  }

  #isEmptyValue(): boolean {
    return this.#state === 'value' && this.#left === 0;
  }

  async #takeValue(bytes: Buffer): Promise<Buffer> {
    const part = bytes.subarray(0, Math.min(bytes.length, this.#left));
    if (part.length > 0) this.#sink.data(part);
    this.#left -= part.length;
    if (this.#left === 0) {
      this.#state = 'row';
      await this.#sink.end();
    }
    return bytes.subarray(part.length);
  }

  /** Collects the few bytes of a header, row or length, which may come in pieces. */
  async #takeHead(bytes: Buffer): Promise<Buffer> {
    if (this.#state === 'done') throw broken('bytes follow its trailer');
    const wanted = { header: HEADER_BYTES, row: FIELDS_BYTES, length: LENGTH_BYTES, value: 0 }[
      this.#state
    ];
    const missing = wanted - this.#fragment.length;
    this.#fragment = Buffer.concat([this.#fragment, bytes.subarray(0, missing)]);
    if (this.#fragment.length === wanted) {
      const head = this.#fragment;
      this.#fragment = Buffer.alloc(0);
      await this.#interpret(head);
    }
    return bytes.subarray(missing);
  }

  async #interpret(head: Buffer): Promise<void> {
    if (this.#state === 'header') {
      if (!head.subarray(0, SIGNATURE.length).equals(SIGNATURE))
        throw broken('its signature is wrong');
      if (head.readInt32BE(15) !== 0) throw broken('it has a header extension');
      this.#state = 'row';
    } else if (this.#state === 'row') {
      const fields = head.readInt16BE(0);
      if (fields !== 1 && fields !== TRAILER) throw broken(`a row has ${fields} fields`);
      this.#state = fields === TRAILER ? 'done' : 'length';
    } else {
      await this.#beginValue(head.readInt32BE(0));
    }
  }

  async #beginValue(length: number): Promise<void> {
    if (length < NULL_LENGTH) throw broken(`a field has ${length} bytes`);
    this.#sink.begin(length === NULL_LENGTH ? null : length);
    this.#left = Math.max(length, 0);
    this.#state = length === NULL_LENGTH ? 'row' : 'value';
    if (length === NULL_LENGTH) await this.#sink.end();
  }
}

function broken(reason: string): WalnutError {
  return new WalnutError('postgresql', `read a binary COPY: ${reason}`);
}
