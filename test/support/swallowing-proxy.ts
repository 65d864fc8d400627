import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { makeScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import type { TestCluster } from './cluster.ts';

/** Any port: it only names the socket. */
const PORT = 5432;

/** A way to a server on which answers get lost, as on a broken network: nothing is closed, nothing comes. */
export type SwallowingProxy = AsyncDisposable & {
  readonly connectionString: string;
  /** From the next command on that contains `text`, answers of its connection are swallowed; null for none. */
  swallow(text: string | null): void;
};

export async function startSwallowingProxy(
  cluster: TestCluster,
  { user }: { readonly user: string },
): Promise<SwallowingProxy> {
  const folder = await makeScratchFolder(cluster.server.user);
  const sockets = new Set<Socket>();
  let swallowed: string | null = null;
  const server = createServer((client) => {
    const { socketFolder, socketPort } = cluster.server;
    const upstream = createConnection(join(socketFolder, `.s.PGSQL.${socketPort}`));
    let isLost = false;
    client.on('data', (bytes) => {
      if (swallowed !== null && bytes.includes(swallowed)) isLost = true;
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (!isLost) client.write(bytes);
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => other.destroy());
    }
  });
  server.listen(join(folder.path, `.s.PGSQL.${PORT}`));
  await once(server, 'listening');
  return {
    connectionString: `postgresql:///postgres?host=${folder.path}&port=${PORT}&user=${user}`,
    swallow: (text) => {
      swallowed = text;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await folder.remove();
    },
  };
}
