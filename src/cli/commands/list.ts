import { defineCommand, optionalArgument, type Command } from '../command.ts';
import { notBuilt } from './not-built.ts';

export const listCommand: Command = defineCommand({
  name: 'list',
  summary: 'backups, their sizes, and the times a server can be restored to',
  description: 'Reads the repository only; the servers need not be reachable.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'one server; without it, all that are configured',
    }),
  },
  options: {},
  examples: [
    { command: 'walnut list', does: 'everything' },
    { command: 'walnut list shop --json', does: 'one server, for a program' },
  ],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('list');
  },
});
