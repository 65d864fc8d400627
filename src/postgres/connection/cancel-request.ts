import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { messageOf, WalnutError } from '../../lib/walnut-error.ts';
import type { PgClient } from './client-session.ts';
import type { HostAddress } from './host-list.ts';

/** A server that does not even take the request is not worth longer waiting. */
const CANCEL_TIMEOUT_MS = 10_000;

/** Source: https://www.postgresql.org/docs/18/protocol-message-formats.html, CancelRequest. */
const CANCEL_REQUEST_CODE = 80_877_102;
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** Sends a CancelRequest for what `client` runs, encrypted (without checks: it names no secret but the key) if it is. */
export async function cancelRunning(client: PgClient, address: HostAddress): Promise<void> {
  const { processID, secretKey } = client;
  if (processID === null || secretKey === null) return;
  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(CANCEL_REQUEST_CODE, 4);
  request.writeInt32BE(processID, 8);
  request.writeInt32BE(secretKey, 12);
  const encrypted = (client.connection.stream as { encrypted?: boolean }).encrypted === true;
  try {
    await sendAndWait(address, request, encrypted);
  } catch (cause) {
    throw new WalnutError('connection', `cancel a running statement: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function sendAndWait(address: HostAddress, request: Buffer, encrypted: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const { host, hostaddr, port } = address;
    const socket: Socket = host.startsWith('/')
      ? connect(`${host}/.s.PGSQL.${port}`)
      : connect(port, hostaddr ?? host);
    socket.setTimeout(CANCEL_TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
    socket.once('error', reject);
    // The server closes the connection when it has passed the request on.
    socket.once('close', () => resolve());
    if (!encrypted) {
      socket.end(request);
      return;
    }
    socket.write(SSL_REQUEST);
    socket.once('data', (answer) => {
      if (answer.toString('latin1') !== 'S') {
        socket.destroy(new Error('the server refused TLS'));
        return;
      }
      const secure = connectTls({ socket, rejectUnauthorized: false });
      secure.once('error', reject);
      secure.end(request);
    });
  });
}
