/**
 * The clear header with which every object of a repository begins (docs/repository-format.md, "Object header").
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 8 | magic `WALNUT` 0x01 0x0A |
 * | 8 | 2 | format version, 1 |
 * | 10 | 1 | kind |
 * | 11 | 1 | codec of the payload: 0 none, 1 zstd blocks |
 * | 12 | 4 | offset of the payload: 96 + length of the annex |
 * | 16 | 8 | plain length of the payload (0 in a pack) |
 * | 24 | 32 | BLAKE3 of the plain payload (zero in a pack) |
 * | 56 | 16 | key id, zero while not encrypted |
 * | 72 | 16 | salt, zero while not encrypted |
 * | 88 | 4 | length of the annex between header and payload |
 * | 92 | 4 | CRC-32C of bytes 0 to 91 |
 */
import { BLAKE3_BYTES, crc32c } from '../lib/hashing.ts';
import { WalnutError } from '../lib/walnut-error.ts';

export const OBJECT_HEADER_BYTES = 96;
const FORMAT_VERSION = 1;

const MAGIC: Buffer = Buffer.from('WALNUT\x01\n', 'latin1');

/** The number stored for each kind of object; never reused. */
const OBJECT_KINDS = {
  descriptor: 1,
  server: 2,
  pack: 3,
  map: 4,
  manifest: 5,
  attempt: 6,
  'wal-segment': 7,
  'wal-partial': 8,
  'wal-piece': 9,
  'wal-index': 10,
  'timeline-history': 11,
  'backup-history': 12,
  'wal-gap': 13,
  'wal-changes': 14,
} as const;

export type ObjectKind = keyof typeof OBJECT_KINDS;

const OBJECT_CODECS = { none: 0, zstd: 1 } as const;

type ObjectCodec = keyof typeof OBJECT_CODECS;

export type ObjectHeader = {
  readonly kind: ObjectKind;
  readonly codec: ObjectCodec;
  readonly payloadOffset: number;
  readonly plainBytes: number;
  readonly plainHash: Uint8Array;
  readonly annexBytes: number;
};

export type NewObjectHeader = Omit<ObjectHeader, 'payloadOffset'>;

export function encodeObjectHeader(header: NewObjectHeader): Buffer {
  const bytes = Buffer.alloc(OBJECT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt16LE(FORMAT_VERSION, 8);
  bytes.writeUInt8(OBJECT_KINDS[header.kind], 10);
  bytes.writeUInt8(OBJECT_CODECS[header.codec], 11);
  bytes.writeUInt32LE(OBJECT_HEADER_BYTES + header.annexBytes, 12);
  bytes.writeBigUInt64LE(BigInt(header.plainBytes), 16);
  bytes.set(header.plainHash, 24);
  bytes.writeUInt32LE(header.annexBytes, 88);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 92)), 92);
  return bytes;
}

/** Parses the first 96 bytes of an object; `key` names it in errors. Throws `object-damaged` or `unsupported`. */
export function decodeObjectHeader(bytes: Uint8Array, key: string): ObjectHeader {
  if (bytes.length < OBJECT_HEADER_BYTES) throw damaged(key, 'it is shorter than its header');
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, OBJECT_HEADER_BYTES);
  if (!view.subarray(0, 8).equals(MAGIC))
    throw damaged(key, 'it does not begin as a Walnut object');
  if (view.readUInt32LE(92) !== crc32c(view.subarray(0, 92))) {
    throw damaged(key, 'the checksum of its header does not match');
  }
  const version = view.readUInt16LE(8);
  if (version !== FORMAT_VERSION) {
    throw new WalnutError(
      'unsupported',
      `read object ${key}: format version ${version} is unknown`,
      {
        hint: 'The object was written by a newer Walnut: upgrade this one.',
      },
    );
  }
  const kind = nameOf(OBJECT_KINDS, view.readUInt8(10));
  const codec = nameOf(OBJECT_CODECS, view.readUInt8(11));
  if (kind === undefined || codec === undefined) throw damaged(key, 'its kind or codec is unknown');
  if (view.subarray(56, 88).some((byte) => byte !== 0)) {
    throw new WalnutError('unsupported', `read object ${key}: it is encrypted`, {
      hint: 'This release of Walnut cannot read encrypted repositories: upgrade it.',
    });
  }
  return {
    kind,
    codec,
    payloadOffset: view.readUInt32LE(12),
    plainBytes: Number(view.readBigUInt64LE(16)),
    plainHash: Uint8Array.from(view.subarray(24, 24 + BLAKE3_BYTES)),
    annexBytes: view.readUInt32LE(88),
  };
}

export function damaged(key: string, reason: string, cause?: unknown): WalnutError {
  return new WalnutError('object-damaged', `read object ${key}: ${reason}`, {
    hint: 'Run `walnut verify` to see what else is damaged and which backups it hits.',
    details: { key, reason },
    cause,
  });
}

function nameOf<Name extends string>(
  table: Readonly<Record<Name, number>>,
  value: number,
): Name | undefined {
  return (Object.keys(table) as Name[]).find((name) => table[name] === value);
}
