import { argument, defineCommand, type Command } from '../command.ts';
import { parseBackupId } from '../values.ts';
import { notBuilt } from './not-built.ts';

export const showCommand: Command = defineCommand({
  name: 'show',
  summary: 'one backup in detail',
  description: 'Sizes, positions, tablespaces, databases, settings, and the damage that was found.',
  arguments: {
    server: argument({ label: 'SERVER', help: 'the server' }),
    backup: argument({
      label: 'BACKUP',
      help: 'the id that list shows, or latest',
      parse: (text: string) => (text === 'latest' ? text : parseBackupId(text)),
    }),
  },
  options: {},
  examples: [
    { command: 'walnut show shop latest', does: 'the newest' },
    { command: 'walnut show shop 20261122T191500Z-F', does: 'a certain one' },
  ],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('show');
  },
});
