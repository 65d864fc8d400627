import { Socket } from 'node:net';

/** What one read may bring: twice PostgreSQL's largest WAL message, and still within a processor's second cache. */
const READ_BYTES: number = 256 * 1024;

/** Takes what a read brought; the bytes are overwritten by the next read. */
export type ReadTaker = (bytes: Buffer) => void;

const takers = new WeakMap<object, { take: ReadTaker | null }>();

/**
 * A socket that reads into one buffer again and again. Node's own way, fresh memory for each read, has the garbage
 * collector mark the whole heap several times a second at the pace of a WAL stream, which costs more than anything that
 * is done with the bytes (docs/decisions/2026-11-26-receive-cpu.md). Listeners for `data` get a copy, as they may keep
 * it; who calls {@link takeReads} gets the buffer itself. For unencrypted connections: TLS reads past this.
 */
export function makeReusingSocket(): Socket {
  const reader: { take: ReadTaker | null } = { take: null };
  const socket: Socket = new Socket({
    onread: {
      buffer: Buffer.allocUnsafeSlow(READ_BYTES),
      callback: (count, bytes) => {
        const read = Buffer.from(bytes.buffer, bytes.byteOffset, count);
        if (reader.take === null) socket.emit('data', Buffer.from(read));
        else reader.take(read);
        return true;
      },
    },
  });
  takers.set(socket, reader);
  return socket;
}

/** Turns what is read from now on to `take`, or with null to the `data` listeners again; false for other sockets. */
export function takeReads(socket: object, take: ReadTaker | null): boolean {
  const reader = takers.get(socket);
  if (reader !== undefined) reader.take = take;
  return reader !== undefined;
}
