import { WalnutError } from '../../lib/walnut-error.ts';
import { pathText, type PathText } from './path-text.ts';
import { requireSafePath } from './safe-path.ts';

export type TarEntry = PathText & {
  readonly kind: 'file' | 'directory' | 'symlink';
  /** Of a file; 0 for anything else. */
  readonly sizeBytes: number;
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  readonly mtime: Date;
  /** Where a tablespace's link leads, absolute or relative to the link's folder; null for anything else. */
  readonly linkTarget: string | null;
};

export type TarEvent =
  | { readonly kind: 'entry'; readonly entry: TarEntry }
  /** The next bytes of the current file: a view on what was fed, valid as long as that is. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly entry: TarEntry };

const BLOCK_BYTES = 512;
const LINK_PATH = /^pg_tblspc\/[1-9]\d{0,9}$/;

/**
 * Reads the tar archive of a base backup as its bytes arrive. It knows the ustar subset that PostgreSQL writes
 * (src/port/tar.c), accepts that 13 and 14 leave out the two blocks of zeros at the end, and refuses whatever a server
 * never sends: absolute paths and `..`, links elsewhere than in pg_tblspc, devices, extension headers.
 */
export class TarReader {
  readonly #header = new Uint8Array(BLOCK_BYTES);
  #headerLength = 0;
  #entry: TarEntry | null = null;
  #dataLeft = 0;
  #paddingLeft = 0;
  #inTrailer = false;
  #position = 0;

  /**
   * Yields what `bytes` contain. The generator must be run to its end before the next call.
   * @throws WalnutError `object-damaged`; the reader is of no use afterwards.
   */
  *feed(bytes: Uint8Array): Generator<TarEvent, void, undefined> {
    let at = 0;
    while (at < bytes.length) {
      const begin = at;
      if (this.#dataLeft > 0) {
        at += Math.min(this.#dataLeft, bytes.length - at);
        this.#dataLeft -= at - begin;
        yield { kind: 'data', bytes: bytes.subarray(begin, at) };
        if (this.#dataLeft === 0) yield* this.#endEntry();
      } else if (this.#paddingLeft > 0) {
        at += Math.min(this.#paddingLeft, bytes.length - at);
        this.#paddingLeft -= at - begin;
      } else {
        at += Math.min(BLOCK_BYTES - this.#headerLength, bytes.length - at);
        this.#header.set(bytes.subarray(begin, at), this.#headerLength);
        this.#headerLength += at - begin;
        if (this.#headerLength === BLOCK_BYTES) yield* this.#takeHeader();
      }
      this.#position += at - begin;
    }
  }

  /** Says that no more bytes come. @throws WalnutError `object-damaged` when the archive is cut. */
  end(): void {
    if (this.#dataLeft > 0 || this.#paddingLeft > 0) {
      throw this.#damaged(`the archive is cut in ${this.#entry?.path ?? 'the padding of a file'}`);
    }
    if (this.#headerLength > 0) throw this.#damaged('the archive is cut in a header');
  }

  *#takeHeader(): Generator<TarEvent, void, undefined> {
    this.#headerLength = 0;
    const isZero = this.#header[0] === 0 && this.#header.every((byte) => byte === 0);
    if (this.#inTrailer && !isZero) throw this.#damaged('something follows the end of the archive');
    this.#inTrailer = isZero;
    if (isZero) return;
    const entry = this.#parseHeader();
    this.#entry = entry;
    this.#dataLeft = entry.sizeBytes;
    this.#paddingLeft = (BLOCK_BYTES - (entry.sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
    yield { kind: 'entry', entry };
    if (entry.sizeBytes === 0) yield* this.#endEntry();
  }

  *#endEntry(): Generator<TarEvent, void, undefined> {
    const entry = this.#entry;
    this.#entry = null;
    if (entry !== null) yield { kind: 'end', entry };
  }

  #parseHeader(): TarEntry {
    const header = this.#header;
    if (this.#number(148, 8) !== checksumOf(header))
      throw this.#damaged('header checksum is wrong');
    if (text(header, 257, 5) !== 'ustar') throw this.#damaged('it is no ustar header');
    const kind = KINDS.get(header[156] ?? 0);
    const name = pathText(field(header, 0, 100));
    if (kind === undefined) {
      const type = String.fromCharCode(header[156] ?? 0);
      throw this.#damaged(
        `${JSON.stringify(name.path)} is of type ${JSON.stringify(type)}, which no server sends`,
      );
    }
    if (header[345] !== 0) throw this.#damaged('a path has a prefix, which no server sends');
    const { path, rawPath } = normalised(name, kind);
    requireSafePath(path, 'a tar archive');
    if (kind === 'symlink' && !LINK_PATH.test(path)) {
      throw this.#damaged(`${JSON.stringify(path)} is a symbolic link outside pg_tblspc`);
    }
    const sizeBytes = this.#number(124, 12);
    if (kind !== 'file' && sizeBytes !== 0) {
      throw this.#damaged(`${JSON.stringify(path)} is no file, but has ${sizeBytes} bytes`);
    }
    return {
      kind,
      path,
      rawPath,
      sizeBytes,
      mode: this.#number(100, 8) & 0o7777,
      mtime: new Date(this.#number(136, 12) * 1000),
      linkTarget: kind === 'symlink' ? pathText(field(header, 157, 100)).path : null,
    };
  }

  /** Octal digits, or base-256 where they would not be enough: the size of files from 8 GB on. */
  #number(offset: number, length: number): number {
    const first = this.#header[offset] ?? 0;
    if ((first & 0x80) === 0) {
      const digits = text(this.#header, offset, length).trim();
      if (!/^[0-7]*$/.test(digits)) throw this.#damaged(`number ${JSON.stringify(digits)}`);
      return digits === '' ? 0 : Number.parseInt(digits, 8);
    }
    let value = first & 0x7f;
    for (const byte of this.#header.subarray(offset + 1, offset + length))
      value = value * 256 + byte;
    if (!Number.isSafeInteger(value)) throw this.#damaged('a number is out of range');
    return value;
  }

  #damaged(reason: string): WalnutError {
    return new WalnutError(
      'object-damaged',
      `read tar archive near byte ${this.#position}: ${reason}`,
    );
  }
}

const KINDS: ReadonlyMap<number, TarEntry['kind']> = new Map([
  ['0'.charCodeAt(0), 'file'],
  ['2'.charCodeAt(0), 'symlink'],
  ['5'.charCodeAt(0), 'directory'],
]);

/** Without the `./` that some of the server's names begin with and the `/` that folders and links end with. */
function normalised({ path, rawPath }: PathText, kind: TarEntry['kind']): PathText {
  const begin = path.startsWith('./') ? 2 : 0;
  const cut = kind !== 'file' && path.endsWith('/') ? 1 : 0;
  return {
    path: path.slice(begin, path.length - cut),
    rawPath: rawPath?.subarray(begin, rawPath.length - cut) ?? null,
  };
}

/** The header's bytes added up, the checksum itself taken as blanks. */
function checksumOf(header: Uint8Array): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK_BYTES; index += 1) {
    if (index < 148 || index >= 156) sum += header[index] ?? 0;
  }
  return sum;
}

function field(header: Uint8Array, offset: number, length: number): Uint8Array {
  const bytes = header.subarray(offset, offset + length);
  const nul = bytes.indexOf(0);
  return nul < 0 ? bytes : bytes.subarray(0, nul);
}

function text(header: Uint8Array, offset: number, length: number): string {
  return Buffer.from(field(header, offset, length)).toString('latin1');
}
