import { createHash } from 'node:crypto';

import { WalnutError } from '../../lib/walnut-error.ts';
import { parseLsn, type Lsn } from '../lsn.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import { pathText, type PathText } from './path-text.ts';
import { requireSafePath } from './safe-path.ts';

const ALGORITHMS = ['CRC32C', 'SHA224', 'SHA256', 'SHA384', 'SHA512'] as const;

type ManifestChecksumAlgorithm = (typeof ALGORITHMS)[number];

export type ManifestFile = PathText & {
  readonly sizeBytes: number;
  readonly lastModified: Date;
  /** Null when the backup was made with `MANIFEST_CHECKSUMS 'NONE'`. `hex` is lower case. */
  readonly checksum: { readonly algorithm: ManifestChecksumAlgorithm; readonly hex: string } | null;
};

export type ManifestWalRange = {
  readonly timeline: TimelineId;
  readonly start: Lsn;
  readonly end: Lsn;
};

export type BackupManifestSummary = {
  readonly version: 1 | 2;
  /** Null in version 1 (PostgreSQL 13 to 16). */
  readonly systemIdentifier: bigint | null;
  readonly fileCount: number;
  /** Newest timeline first. */
  readonly walRanges: readonly ManifestWalRange[];
  /** SHA-256 of all before the manifest's last line, which has been compared. */
  readonly checksumHex: string;
};

/** Longer than a line with a path of MAXPGPATH bytes, each escaped. */
const LINE_BYTES_MAX = 64 * 1024;

const NEWLINE = 0x0a;
const CHECKSUM_LINE = /^"Manifest-Checksum": "([0-9a-f]{64})"\}$/;
const TIME = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/;

type Section = 'version' | 'system' | 'files' | 'file' | 'ranges' | 'range' | 'checksum' | 'done';

/**
 * Reads PostgreSQL's backup_manifest, versions 1 and 2, as its bytes arrive, in memory that does not grow with it.
 * It relies on the server's fixed layout of lines (src/backend/backup/backup_manifest.c), on which the manifest's own
 * checksum rests too. Nothing said by `onFile` is proven before {@link end} returns.
 */
export class BackupManifestParser {
  readonly #onFile: (file: ManifestFile) => void;
  readonly #hash = createHash('sha256');
  readonly #walRanges: ManifestWalRange[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #section: Section = 'version';
  #version: 1 | 2 = 1;
  #systemIdentifier: bigint | null = null;
  #fileCount = 0;
  #lineNumber = 0;
  /** Whether the last item of the list announced another one by its comma; null before the first. */
  #hasComma: boolean | null = null;
  #checksumHex = '';

  constructor(onFile: (file: ManifestFile) => void) {
    this.#onFile = onFile;
  }

  /** @throws WalnutError `object-damaged`; the parser is of no use afterwards. */
  feed(bytes: Uint8Array): void {
    let begin = 0;
    if (this.#rest.length > 0) {
      const newline = bytes.indexOf(NEWLINE);
      const head = bytes.subarray(0, newline < 0 ? bytes.length : newline + 1);
      const line = Buffer.concat([this.#rest, head]);
      begin = head.length;
      this.#keep(newline < 0 ? line : Buffer.alloc(0));
      if (newline < 0) return;
      this.#takeLine(line);
    }
    for (;;) {
      const newline = bytes.indexOf(NEWLINE, begin);
      if (newline < 0) break;
      this.#takeLine(bytes.subarray(begin, newline + 1));
      begin = newline + 1;
    }
    this.#keep(Buffer.from(bytes.subarray(begin)));
  }

  /** What the manifest says as a whole, once all its bytes were fed and its checksum has proven right. */
  end(): BackupManifestSummary {
    if (this.#section !== 'done' || this.#rest.length > 0)
      throw this.#damaged('its end is missing');
    const actual = this.#hash.digest('hex');
    if (actual !== this.#checksumHex) {
      throw this.#damaged(`its checksum is ${actual}, but it says ${this.#checksumHex}`);
    }
    return {
      version: this.#version,
      systemIdentifier: this.#systemIdentifier,
      fileCount: this.#fileCount,
      walRanges: this.#walRanges,
      checksumHex: this.#checksumHex,
    };
  }

  #keep(rest: Buffer): void {
    if (rest.length > LINE_BYTES_MAX) throw this.#damaged('a line is too long');
    this.#rest = rest;
  }

  #takeLine(bytes: Uint8Array): void {
    this.#lineNumber += 1;
    if (bytes.length > LINE_BYTES_MAX) throw this.#damaged('a line is too long');
    if (this.#section !== 'checksum') this.#hash.update(bytes);
    const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length - 1).toString('utf8');
    switch (this.#section) {
      case 'version':
        return this.#takeVersion(line);
      case 'system':
        return this.#takeSystemIdentifier(line);
      case 'files':
        return this.#expect(line, '"Files": [', 'file');
      case 'file':
        return line === '],' ? this.#endList('ranges') : this.#takeFile(this.#item(line));
      case 'ranges':
        return this.#expect(line, '"WAL-Ranges": [', 'range');
      case 'range':
        return line === '],' ? this.#endList('checksum') : this.#takeRange(this.#item(line));
      case 'checksum': {
        const hex = CHECKSUM_LINE.exec(line)?.[1];
        if (hex === undefined) throw this.#damaged('its checksum is unreadable');
        this.#checksumHex = hex;
        this.#section = 'done';
        return;
      }
      case 'done':
        throw this.#damaged('something follows its end');
    }
  }

  #takeVersion(line: string): void {
    const version = /^\{ "PostgreSQL-Backup-Manifest-Version": (\d{1,9}),$/.exec(line)?.[1];
    if (version === undefined) throw this.#damaged('its version is unreadable');
    if (version !== '1' && version !== '2') {
      throw new WalnutError('unsupported', `read backup manifest: version ${version} is unknown`);
    }
    this.#version = version === '1' ? 1 : 2;
    this.#section = version === '1' ? 'files' : 'system';
  }

  #takeSystemIdentifier(line: string): void {
    const digits = /^"System-Identifier": (\d{1,20}),$/.exec(line)?.[1];
    if (digits === undefined || BigInt(digits) >= 2n ** 64n) {
      throw this.#damaged('its system identifier is unreadable');
    }
    this.#systemIdentifier = BigInt(digits);
    this.#section = 'files';
  }

  #expect(line: string, wanted: string, next: Section): void {
    if (line !== wanted) throw this.#damaged(`${JSON.stringify(line.slice(0, 80))} for ${wanted}`);
    this.#section = next;
    this.#hasComma = null;
  }

  #endList(next: Section): void {
    if (this.#hasComma === true) throw this.#damaged('a list ends after a comma');
    this.#section = next;
  }

  #item(line: string): Record<string, unknown> {
    if (this.#hasComma === false) throw this.#damaged('a comma is missing');
    this.#hasComma = line.endsWith(',');
    try {
      const value: unknown = JSON.parse(this.#hasComma ? line.slice(0, -1) : line);
      if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
    } catch (error) {
      throw this.#damaged('it is no JSON', error);
    }
    throw this.#damaged('an item is no object');
  }

  #takeFile(item: Record<string, unknown>): void {
    const { Size: size, 'Last-Modified': modified } = item;
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw this.#damaged('a file has no size');
    }
    const [, year, month, day, hour, minute, second] =
      TIME.exec(typeof modified === 'string' ? modified : '') ?? [];
    if (second === undefined) throw this.#damaged('a file has no time of modification');
    this.#fileCount += 1;
    this.#onFile({
      ...this.#pathOf(item),
      sizeBytes: size,
      lastModified: new Date(
        Date.UTC(
          Number(year),
          Number(month) - 1,
          Number(day),
          Number(hour),
          Number(minute),
          Number(second),
        ),
      ),
      checksum: this.#checksumOf(item),
    });
  }

  #pathOf(item: Record<string, unknown>): PathText {
    const { Path: path, 'Encoded-Path': encoded } = item;
    let text: PathText;
    if (typeof path === 'string' && encoded === undefined) {
      text = { path, rawPath: null };
    } else if (
      path === undefined &&
      typeof encoded === 'string' &&
      /^([0-9a-f]{2})+$/i.test(encoded)
    ) {
      text = pathText(Buffer.from(encoded, 'hex'));
    } else {
      throw this.#damaged('a file has no path');
    }
    requireSafePath(text.path, 'a backup manifest');
    return text;
  }

  #checksumOf(item: Record<string, unknown>): ManifestFile['checksum'] {
    const { 'Checksum-Algorithm': name, Checksum: hex } = item;
    if (name === undefined && hex === undefined) return null;
    const algorithm = ALGORITHMS.find((known) => known === name);
    if (algorithm === undefined || typeof hex !== 'string' || !/^([0-9a-f]{2})+$/i.test(hex)) {
      throw this.#damaged('a file has an unreadable checksum');
    }
    return { algorithm, hex: hex.toLowerCase() };
  }

  #takeRange(item: Record<string, unknown>): void {
    const { Timeline: timeline, 'Start-LSN': start, 'End-LSN': end } = item;
    try {
      this.#walRanges.push({
        timeline: toTimelineId(Number(timeline)),
        start: parseLsn(String(start)),
        end: parseLsn(String(end)),
      });
    } catch (error) {
      throw this.#damaged('a WAL range is unreadable', error);
    }
  }

  #damaged(reason: string, cause?: unknown): WalnutError {
    return new WalnutError(
      'object-damaged',
      `read backup manifest, line ${this.#lineNumber}: ${reason}`,
      { cause },
    );
  }
}

/**
 * A CRC-32C as a manifest shows it: the four bytes in the order in which a little-endian server keeps them, so that
 * 0x01020304 is "04030201".
 */
export function manifestCrc32c(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(crc);
  return bytes.toString('hex');
}
