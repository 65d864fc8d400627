import { defineCommand, flag, option, type Command } from '../command.ts';
import { parsePath } from '../values.ts';

export const demoCommand: Command = defineCommand({
  name: 'demo',
  summary: 'the whole story on an embedded PostgreSQL, in about a minute',
  description:
    'Starts a PostgreSQL of its own in a scratch folder, puts load on it, backs it up while it works, keeps its WAL, ' +
    'drops a table by mistake, restores to the moment just before, and compares the table with what it was. ' +
    'Nothing outside the scratch folder is touched, and the folder is removed at the end, also on Ctrl-C.',
  arguments: {},
  options: {
    keep: flag('leave the folder with both clusters and the repository, for playing'),
    folder: option({
      label: 'DIR',
      help: 'make the scratch folder in DIR (default: the temporary folder)',
      parse: parsePath,
    }),
  },
  examples: [
    { command: 'walnut demo', does: 'watch the story' },
    { command: 'walnut demo --keep', does: 'and play with what it leaves' },
  ],
  exitCodes: [0, 1, 3, 130],
  run: async (values, context) => {
    const { runDemoCommand } = await import('../run-demo.ts');
    return runDemoCommand(values, context);
  },
});
