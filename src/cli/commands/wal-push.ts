import type { WalPushDocument } from '../../api/wal-contract.ts';
import { argument, defineCommand, option, type Command } from '../command.ts';
import { withRepository } from '../server-access.ts';
import { parseIncarnation } from '../values.ts';

export const walPushCommand: Command = defineCommand({
  name: 'wal push',
  summary: 'store one WAL file: for archive_command',
  description:
    'Exits 0 only when the file is durable in the repository. Pushing the same file again is fine; other content under ' +
    'the same name, or WAL of another cluster, is refused. PATH may be relative to the data directory, in which ' +
    'PostgreSQL runs the command.',
  arguments: {
    server: argument({ label: 'SERVER', help: 'the server' }),
    path: argument({ label: 'PATH', help: 'the file; %p in archive_command' }),
  },
  options: {
    incarnation: option({
      label: 'ID',
      help: 'accept WAL of this cluster only: system identifier and major version, such as 7432109876543210987-18',
      parse: parseIncarnation,
    }),
  },
  examples: [
    {
      command: "archive_command = 'walnut --config /etc/walnut/walnut.toml wal push shop %p'",
      does: 'in postgresql.conf',
    },
  ],
  exitCodes: [0, 1, 2],
  run: async ({ server: name, path, incarnation }, context) => {
    const { pushWalFile } = await import('../../archive/push.ts');
    const server = await context.resolveServer(name);
    const { file, outcome, bytes } = await withRepository(server.repository, async (store) =>
      pushWalFile({ store, server: server.name, path, level: server.level, incarnation }),
    );
    const document: WalPushDocument = { server: server.name, file, outcome, bytes };
    return { document };
  },
});
