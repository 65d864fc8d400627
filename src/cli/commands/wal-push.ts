import { argument, defineCommand, option, type Command } from '../command.ts';
import { parseIncarnation } from '../values.ts';
import { notBuilt } from './not-built.ts';

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
  run: async () => {
    throw notBuilt('wal push');
  },
});
