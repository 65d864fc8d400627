import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { readConnectionSettings, type ConnectionSettings } from './connection-settings.ts';
import { openSession } from './open-session.ts';

const SOURCES = {
  environment: {},
  homeFolder: '/nonexistent',
  userName: 'nobody',
  readFile: () => null,
  exists: () => false,
};
const options = { applicationName: 'walnut test' };

describe('a server that is none', () => {
  const servers: Server[] = [];
  const sockets = new Set<Socket>();

  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  /** Listens, and answers each connection by `act`. */
  async function behave(
    act: (socket: Socket) => void,
    parameters = 'sslmode=disable',
  ): Promise<ConnectionSettings> {
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      act(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    return readConnectionSettings(`postgresql://u:p@127.0.0.1:${port}/x?${parameters}`, SOURCES);
  }

  test('and never answers is left after connect_timeout', async () => {
    const settings = await behave(() => {}, 'sslmode=disable&connect_timeout=1');
    await expect(openSession(settings, options)).rejects.toMatchObject({
      code: 'connection',
      message: expect.stringContaining('timed out') as string,
    });
  });

  test('and never answers can be left at any time', async () => {
    const controller = new AbortController();
    const settings = await behave(() => controller.abort(new Error('enough')));
    const opening = openSession(settings, { ...options, signal: controller.signal });
    await expect(opening).rejects.toThrow('enough');
  });

  test('and hangs up is an error', async () => {
    const settings = await behave((socket) => socket.end());
    await expect(openSession(settings, options)).rejects.toMatchObject({ code: 'connection' });
  });

  test('and speaks another protocol is an error', async () => {
    const settings = await behave((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await expect(openSession(settings, options)).rejects.toMatchObject({ code: 'connection' });
  });

  // CVE-2021-23222: what a man in the middle puts behind the answer must not count as encrypted.
  test('and sends plain text behind its agreement to TLS is an error', async () => {
    const settings = await behave(
      (socket) => socket.once('data', () => socket.write('SR\0\0\0\x08\0\0\0\0')),
      'sslmode=require',
    );
    await expect(openSession(settings, options)).rejects.toThrow(/TLS failed/);
  });

  test('gets no password when it asks for it in clear text and binding is required', async () => {
    const parts: Buffer[] = [];
    const closed = Promise.withResolvers<void>();
    const settings = await behave((socket) => {
      socket.on('close', () => closed.resolve());
      socket.on('data', (bytes) => {
        parts.push(Buffer.from(bytes));
        socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
      });
    }, 'sslmode=disable&channel_binding=require');
    await expect(openSession(settings, options)).rejects.toMatchObject({ code: 'authentication' });
    await closed.promise;
    const received = Buffer.concat(parts);
    // The startup packet and nothing behind it.
    expect(received.readInt32BE(0)).toBe(received.length);
  });
});
