import { WalnutError } from '../../lib/walnut-error.ts';

export type CopyEvent =
  /** A column begins. `length` null: SQL's null; else exactly so many bytes follow in `data` events. */
  | { readonly kind: 'field'; readonly column: number; readonly length: number | null }
  /** A view on the pushed chunk. */
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'row' }
  | { readonly kind: 'end' };

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const HEADER_BYTES = SIGNATURE.length + 8;
/** PostgreSQL knows no table with more columns. */
const COLUMNS_MAX = 1664;

/**
 * Reads the binary COPY format, cut anywhere.
 * Source: https://www.postgresql.org/docs/18/sql-copy.html#SQL-COPY-BINARY-FORMAT
 */
export class CopyBinaryParser {
  #state: 'header' | 'extension' | 'row' | 'field' | 'data' | 'ended' = 'header';
  #pending: Buffer = Buffer.alloc(0);
  #left = 0;
  #columns = 0;
  #column = 0;

  /** @throws WalnutError `failed` for bytes that are not this format. */
  push(chunk: Buffer): CopyEvent[] {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const events: CopyEvent[] = [];
    let at = 0;
    for (;;) {
      const used = this.#step(bytes, at, events);
      if (used === null) break;
      at += used;
    }
    this.#pending = bytes.subarray(at);
    return events;
  }

  /** @throws WalnutError `failed` when the trailer has not been seen. */
  end(): void {
    if (this.#state !== 'ended') throw broken('the data ends before its trailer');
  }

  /** Takes one element; answers how many bytes it had, or null when more are needed. */
  #step(bytes: Buffer, at: number, events: CopyEvent[]): number | null {
    const available = bytes.length - at;
    switch (this.#state) {
      case 'header':
        return available < HEADER_BYTES ? null : this.#takeHeader(bytes, at);
      case 'extension':
        return this.#takeExtension(available);
      case 'row':
        return available < 2 ? null : this.#takeRow(bytes.readInt16BE(at), events);
      case 'field':
        return available < 4 ? null : this.#takeField(bytes.readInt32BE(at), events);
      case 'data':
        return this.#takeData(bytes, at, events);
      case 'ended':
        if (available > 0) throw broken('bytes follow the trailer');
        return null;
      default:
        return null;
    }
  }

  #takeHeader(bytes: Buffer, at: number): number {
    if (!bytes.subarray(at, at + SIGNATURE.length).equals(SIGNATURE)) throw broken('bad signature');
    if ((bytes.readUInt32BE(at + SIGNATURE.length) & 0xffff_0000) !== 0) {
      throw broken('unknown critical flags');
    }
    this.#left = bytes.readUInt32BE(at + SIGNATURE.length + 4);
    this.#state = 'extension';
    return HEADER_BYTES;
  }

  #takeExtension(available: number): number | null {
    const used = Math.min(this.#left, available);
    this.#left -= used;
    if (this.#left === 0) this.#state = 'row';
    return used === 0 && this.#left > 0 ? null : used;
  }

  #takeRow(columns: number, events: CopyEvent[]): number {
    if (columns === -1) {
      this.#state = 'ended';
      events.push({ kind: 'end' });
      return 2;
    }
    if (columns < 0 || columns > COLUMNS_MAX) throw broken(`a row of ${columns} columns`);
    this.#columns = columns;
    this.#column = 0;
    this.#state = 'field';
    if (columns === 0) this.#endField(events);
    return 2;
  }

  #takeField(length: number, events: CopyEvent[]): number {
    if (length < -1) throw broken(`a field of ${length} bytes`);
    events.push({ kind: 'field', column: this.#column, length: length === -1 ? null : length });
    this.#column += 1;
    this.#left = Math.max(length, 0);
    if (this.#left === 0) this.#endField(events);
    else this.#state = 'data';
    return 4;
  }

  #takeData(bytes: Buffer, at: number, events: CopyEvent[]): number | null {
    const used = Math.min(this.#left, bytes.length - at);
    if (used === 0) return null;
    events.push({ kind: 'data', bytes: bytes.subarray(at, at + used) });
    this.#left -= used;
    if (this.#left === 0) this.#endField(events);
    return used;
  }

  #endField(events: CopyEvent[]): void {
    this.#state = 'field';
    if (this.#column < this.#columns) return;
    events.push({ kind: 'row' });
    this.#state = 'row';
  }
}

function broken(reason: string): WalnutError {
  return new WalnutError('failed', `read binary COPY data: ${reason}`);
}
