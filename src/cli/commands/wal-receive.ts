import { defineCommand, optionalArgument, type Command } from '../command.ts';
import { notBuilt } from './not-built.ts';

export const walReceiveCommand: Command = defineCommand({
  name: 'wal receive',
  summary: 'stream WAL from the server into the repository until stopped',
  description:
    'Creates the replication slot when it is missing, follows timeline switches, reconnects by itself, and reports as ' +
    'flushed only what is durable. SIGTERM and Ctrl-C end it cleanly with exit code 0. With --json it prints one JSON line per event.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {},
  examples: [{ command: 'walnut wal receive shop', does: 'until stopped, such as by systemd' }],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('wal receive');
  },
});
