import { WalnutError } from '../../lib/walnut-error.ts';
import { CopyBinaryParser, type CopyEvent } from './copy-binary-parser.ts';
import { statementError } from './error-mapping.ts';
import { EventPump } from './event-pump.ts';
import type { Session } from './session.ts';

/**
 * A stretch of a file. `path` is relative to the data directory. PostgreSQL allows 1 GB − 5 at once; the server holds a
 * range in memory, so a few megabytes are plenty.
 */
export type ServerFileRange = {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
};

/** Where read bytes go. Calls come in the order of the ranges. */
export type ServerRangeSink = {
  /** At least the range's length; asked for once per range that exists, and filled before `received`. */
  bufferFor(index: number): Uint8Array;
  /** `byteCount` is smaller than asked at the end of the file, null when the file is gone. Awaited. */
  received(index: number, byteCount: number | null): void | Promise<void>;
};

/**
 * The COPY text is constant and the paths travel by set_config: the server's log and pg_stat_statements see one
 * statement. A custom setting needs no privilege.
 */
const SET_RANGES =
  "SELECT set_config('walnut.paths', $1::text[]::text, false), set_config('walnut.offsets', $2::int8[]::text, false), set_config('walnut.lengths', $3::int8[]::text, false)";
const COPY_RANGES = `COPY (SELECT range.number::int4, pg_read_binary_file(range.path, range.first, range.length, true)
  FROM unnest(current_setting('walnut.paths')::text[], current_setting('walnut.offsets')::int8[],
    current_setting('walnut.lengths')::int8[]) WITH ORDINALITY AS range (path, first, length, number))
  TO STDOUT (FORMAT binary)`;

/**
 * Reads stretches of the server's files over SQL. Needs pg_read_binary_file. A failure of the sink ends the session,
 * since the server can't be told to stop sending; trying again is the caller's.
 */
export async function readServerRanges(
  session: Session,
  ranges: readonly ServerFileRange[],
  sink: ServerRangeSink,
): Promise<void> {
  if (ranges.length === 0) return;
  const act = 'read files on the server';
  await session.query(SET_RANGES, {
    parameters: [
      ranges.map(({ path }) => path),
      ranges.map(({ offset }) => offset),
      ranges.map(({ length }) => length),
    ],
    act,
  });
  try {
    await copyRanges(session, new RangeReceiver(ranges, sink));
  } catch (cause) {
    throw statementError(cause, act);
  }
}

/** Runs the COPY; what the receiver throws ends the connection. */
function copyRanges(session: Session, receiver: RangeReceiver): Promise<void> {
  return new Promise((resolve, reject) => {
    const parser = new CopyBinaryParser();
    let failure: Error | null = null;
    const fail = (error: unknown): void => {
      reject(error);
      pump.stop();
      void session.close();
    };
    const pump = new EventPump({
      onPause: () => exchange.pause(),
      onResume: () => exchange.resume(),
      onError: fail,
    });
    const exchange = session.exchange(COPY_RANGES, {
      message: () => {},
      copyData: (part) => {
        try {
          for (const event of parser.push(part)) pump.push(() => receiver.take(event));
        } catch (error) {
          fail(error);
        }
      },
      failed: (error) => {
        failure ??= error;
      },
      finished: (lost) => {
        const error = failure ?? lost;
        pump.push(() => {
          if (error !== null) return reject(error);
          parser.end();
          receiver.end();
          return resolve();
        });
      },
    });
  });
}

/** Follows the rows `(number, bytes)` and lays the bytes where the sink wants them. */
class RangeReceiver {
  readonly #ranges: readonly ServerFileRange[];
  readonly #sink: ServerRangeSink;
  #index = 0;
  #column = -1;
  #target: Uint8Array | null = null;
  #filled = 0;
  #number: Buffer = Buffer.alloc(0);

  constructor(ranges: readonly ServerFileRange[], sink: ServerRangeSink) {
    this.#ranges = ranges;
    this.#sink = sink;
  }

  take(event: CopyEvent): void | Promise<void> {
    if (event.kind === 'field') this.#beginField(event.column, event.length);
    else if (event.kind === 'data') this.#fill(event.bytes);
    else if (event.kind === 'row') return this.#endRow();
    return undefined;
  }

  end(): void {
    if (this.#index !== this.#ranges.length) {
      throw mismatch(`${this.#index} answers for ${this.#ranges.length} ranges`);
    }
  }

  #beginField(column: number, length: number | null): void {
    this.#column = column;
    if (column === 0) {
      this.#number = Buffer.alloc(0);
      return;
    }
    const range = this.#ranges[this.#index];
    if (range === undefined || this.#number.length !== 4) throw mismatch('a row too many');
    const number = this.#number.readInt32BE(0);
    if (number !== this.#index + 1)
      throw mismatch(`range ${number} came as number ${this.#index + 1}`);
    if (length !== null && length > range.length) {
      throw mismatch(`${length} bytes came for ${range.length}`);
    }
    this.#filled = 0;
    this.#target = length === null ? null : this.#sink.bufferFor(this.#index);
  }

  #fill(bytes: Buffer): void {
    if (this.#column === 0) {
      this.#number = Buffer.concat([this.#number, bytes]);
      return;
    }
    this.#target?.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  #endRow(): void | Promise<void> {
    const index = this.#index;
    this.#index += 1;
    return this.#sink.received(index, this.#target === null ? null : this.#filled);
  }
}

function mismatch(reason: string): WalnutError {
  return new WalnutError('failed', `read files on the server: ${reason}`);
}
