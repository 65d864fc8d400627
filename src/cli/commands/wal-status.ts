import { defineCommand, optionalArgument, type Command } from '../command.ts';
import { notBuilt } from './not-built.ts';

export const walStatusCommand: Command = defineCommand({
  name: 'wal status',
  summary: 'what WAL is stored, what is missing, how far behind it is',
  description:
    'The stored ranges of each timeline, gaps, the lag in bytes and seconds, and the health of the slot. When the server ' +
    'cannot be asked, what the repository knows is shown and the reason with it.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'one server; without it, all that are configured',
    }),
  },
  options: {},
  examples: [{ command: 'walnut wal status shop', does: 'one server' }],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('wal status');
  },
});
