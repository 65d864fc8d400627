import { WIRE } from '../connection/wire-framer.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { statementError } from '../connection/error-mapping.ts';
import type { Session } from '../connection/session.ts';

/** One result set as it came: values are bytes, in the text format of the simple query protocol. */
export type RawResult = {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (Buffer | null)[])[];
};

/** The column names of a RowDescription. Source: https://www.postgresql.org/docs/18/protocol-message-formats.html */
export function parseRowDescription(body: Buffer): string[] {
  const reader = new MessageReader('RowDescription', body);
  const names: string[] = [];
  for (let left = reader.uint16(); left > 0; left -= 1) {
    names.push(reader.cstring());
    // Table oid, column number, type oid, type size, type modifier, format.
    reader.bytes(18);
  }
  reader.end();
  return names;
}

/** The values of a DataRow; views on `body`. */
export function parseDataRow(body: Buffer): (Buffer | null)[] {
  const reader = new MessageReader('DataRow', body);
  const values: (Buffer | null)[] = [];
  for (let left = reader.uint16(); left > 0; left -= 1) {
    const length = reader.int32();
    values.push(length === -1 ? null : reader.bytes(length));
  }
  reader.end();
  return values;
}

/** Collects the result sets of one answer from its messages. */
export class ResultCollector {
  readonly results: RawResult[] = [];
  #rows: (Buffer | null)[][] | null = null;

  /** Answers false for a message that is no part of a result set. */
  take(type: number, body: Buffer): boolean {
    if (type === WIRE.rowDescription) {
      this.#rows = [];
      this.results.push({ columns: parseRowDescription(body), rows: this.#rows });
      return true;
    }
    if (type === WIRE.dataRow) {
      if (this.#rows === null) throw protocolError('a row came before its description');
      this.#rows.push(parseDataRow(body));
      return true;
    }
    return type === WIRE.commandComplete;
  }
}

/** Runs a replication command that answers with result sets only. */
export function runCommand(session: Session, command: string, act: string): Promise<RawResult[]> {
  return new Promise((resolve, reject) => {
    const collector = new ResultCollector();
    let failure: Error | null = null;
    const exchange = session.exchange(command, {
      message: (type, body) => {
        try {
          collector.take(type, body);
        } catch (error) {
          exchange.destroy(error instanceof Error ? error : new Error(String(error)));
        }
      },
      failed: (error) => {
        failure ??= error;
      },
      finished: (lost) => {
        const error = failure ?? lost;
        if (error === null) resolve(collector.results);
        else reject(statementError(error, act));
      },
    });
  });
}

/** The value of a column of a row as text, or null. @throws WalnutError when the column is missing. */
export function textColumn(result: RawResult, row: number, name: string): string | null {
  const column = result.columns.indexOf(name);
  const value = column < 0 ? undefined : result.rows[row]?.[column];
  if (value === undefined) throw protocolError(`the server's answer has no ${name}`);
  return value === null ? null : value.toString('utf8');
}

/** The same for a column that is never null. */
export function requiredColumn(result: RawResult, row: number, name: string): string {
  const value = textColumn(result, row, name);
  if (value === null) throw protocolError(`the server's answer has no value for ${name}`);
  return value;
}

export function protocolError(reason: string): WalnutError {
  return new WalnutError('connection', `read the server's answer: ${reason}`);
}

/** Reads big-endian fields of one message; reading past its end is an error with the message's name. */
export class MessageReader {
  readonly #name: string;
  readonly #body: Buffer;
  #at = 0;

  constructor(name: string, body: Buffer) {
    this.#name = name;
    this.#body = body;
  }

  get remaining(): number {
    return this.#body.length - this.#at;
  }

  uint8(): number {
    return this.bytes(1).readUInt8(0);
  }

  uint16(): number {
    return this.bytes(2).readUInt16BE(0);
  }

  int32(): number {
    return this.bytes(4).readInt32BE(0);
  }

  uint64(): bigint {
    return this.bytes(8).readBigUInt64BE(0);
  }

  int64(): bigint {
    return this.bytes(8).readBigInt64BE(0);
  }

  cstring(): string {
    const end = this.#body.indexOf(0, this.#at);
    if (end < 0) throw protocolError(`a ${this.#name} message lacks the end of a string`);
    const text = this.#body.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  bytes(count: number): Buffer {
    if (count < 0 || count > this.remaining) {
      throw protocolError(`a ${this.#name} message is cut short`);
    }
    const part = this.#body.subarray(this.#at, this.#at + count);
    this.#at += count;
    return part;
  }

  /** All that is left. */
  rest(): Buffer {
    return this.bytes(this.remaining);
  }

  end(): void {
    if (this.remaining > 0) throw protocolError(`a ${this.#name} message is too long`);
  }
}
