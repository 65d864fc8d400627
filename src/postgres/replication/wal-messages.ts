import { toLsn, type Lsn } from '../lsn.ts';
import { MessageReader, protocolError } from './raw-result.ts';

/** Source: https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION */
export type WalDataMessage = {
  readonly kind: 'wal';
  /** The position of the first byte. */
  readonly start: Lsn;
  /** The end of WAL on the server when it sent this. */
  readonly walEnd: Lsn;
  /** By the server's clock. */
  readonly sentAt: Date;
  /** At most 128 kB; may cross a segment boundary, and may be a piece of what the server sent as one message. */
  readonly bytes: Buffer;
};

type KeepaliveMessage = {
  readonly kind: 'keepalive';
  readonly walEnd: Lsn;
  readonly sentAt: Date;
  /** Answer soon: with fsync and flush = received, or a server that shuts down waits for it. */
  readonly replyRequested: boolean;
};

export type WalMessage = WalDataMessage | KeepaliveMessage;

/** Its type and three integers of eight bytes. */
export const WAL_DATA_HEADER_BYTES = 25;

const WAL_DATA = 0x77; // w
const KEEPALIVE = 0x6b; // k
const STANDBY_STATUS = 0x72; // r
/** PostgreSQL counts microseconds from 2000-01-01 UTC. */
const EPOCH_MS = Date.UTC(2000, 0, 1);

/** Decodes the body of one CopyData message of a physical stream. @throws WalnutError for anything else. */
export function parseWalMessage(body: Buffer): WalMessage {
  const type = body.length === 0 ? -1 : body.readUInt8(0);
  if (type === WAL_DATA) {
    const reader = new MessageReader('WALData', body.subarray(1));
    const start = toLsn(reader.uint64());
    const walEnd = toLsn(reader.uint64());
    return { kind: 'wal', start, walEnd, sentAt: toDate(reader.int64()), bytes: reader.rest() };
  }
  if (type === KEEPALIVE) {
    const reader = new MessageReader('keepalive', body.subarray(1));
    const walEnd = toLsn(reader.uint64());
    const sentAt = toDate(reader.int64());
    const replyRequested = reader.uint8() !== 0;
    reader.end();
    return { kind: 'keepalive', walEnd, sentAt, replyRequested };
  }
  throw protocolError(`unknown streaming message of type ${type}`);
}

/** The next piece of a WALData message that arrives in pieces. */
export function continueWalData(before: WalDataMessage, bytes: Buffer): WalDataMessage {
  return { ...before, start: toLsn(before.start + BigInt(before.bytes.length)), bytes };
}

export type StandbyStatus = {
  /** Received; positions are ends, one past the last byte. */
  readonly write: Lsn;
  /** Durable: the server may forget WAL before it, and synchronous commits return. 0 leaves the slot where it is. */
  readonly flush: Lsn;
  readonly apply?: Lsn;
  readonly replyRequested?: boolean;
};

/** A whole CopyData message with a standby status update. */
export function formatStandbyStatus(status: StandbyStatus, now: Date): Buffer {
  const message = Buffer.alloc(39);
  message.write('d', 0, 'latin1');
  message.writeUInt32BE(38, 1);
  message.writeUInt8(STANDBY_STATUS, 5);
  message.writeBigUInt64BE(status.write, 6);
  message.writeBigUInt64BE(status.flush, 14);
  message.writeBigUInt64BE(status.apply ?? 0n, 22);
  message.writeBigInt64BE(BigInt(now.getTime() - EPOCH_MS) * 1000n, 30);
  message.writeUInt8(status.replyRequested === true ? 1 : 0, 38);
  return message;
}

function toDate(microseconds: bigint): Date {
  return new Date(EPOCH_MS + Number(microseconds / 1000n));
}
