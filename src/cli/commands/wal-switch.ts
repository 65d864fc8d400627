import { defineCommand, optionalArgument, type Command } from '../command.ts';
import { notBuilt } from './not-built.ts';

export const walSwitchCommand: Command = defineCommand({
  name: 'wal switch',
  summary: 'finish the current WAL segment and wait until it is stored',
  description:
    'Calls pg_switch_wal() on the primary. Waits at most wal_timeout of the configuration.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {},
  examples: [{ command: 'walnut wal switch shop', does: 'before taking a host down' }],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('wal switch');
  },
});
