import { WalnutError } from '../../lib/walnut-error.ts';
import { choice, defineCommand, flag, option, optionalArgument, type Command } from '../command.ts';
import { parsePath } from '../values.ts';

export const initCommand: Command = defineCommand({
  name: 'init',
  summary: 'write the configuration, create repository and slot, say what the server needs',
  description:
    'On a terminal it asks for what no option gives; otherwise, and with --yes, it takes options and defaults. With a ' +
    'configuration in place it creates what is missing (repository, slot) and changes nothing else. It prints the SQL ' +
    'grants, pg_hba.conf lines and settings that the server still needs, and makes none of them by itself.',
  arguments: {
    server: optionalArgument({ label: 'SERVER', help: 'name for the server, such as shop' }),
  },
  options: {
    connection: option({
      label: 'URL',
      help: "how to reach the server, in libpq's words, such as postgresql://walnut@db1/postgres; write no password here: it would show in the process list",
    }),
    passwordFile: option({
      label: 'FILE',
      help: 'a file that holds the password',
      parse: parsePath,
    }),
    repository: option({
      label: 'DIR',
      help: 'folder for backups and WAL (default: /var/lib/walnut)',
      parse: (text: string) => (text.startsWith('file://') ? text : parsePath(text)),
    }),
    dataDirectory: option({
      label: 'DIR',
      help: 'data directory, when Walnut runs on the database host',
      parse: parsePath,
    }),
    wal: choice(['stream', 'archive', 'both'], 'how WAL comes in (default: stream)'),
    spoolDirectory: option({
      label: 'DIR',
      help: 'where the receiver keeps what is not yet stored',
      parse: parsePath,
    }),
    newIncarnation: flag(
      'accept that another cluster now has this name: after pg_upgrade, or initdb anew',
    ),
    yes: flag('ask nothing'),
  },
  examples: [
    { command: 'walnut init', does: 'be asked' },
    {
      command:
        'walnut init shop --connection postgresql://walnut@db1/postgres --repository /backup --yes',
      does: 'be asked nothing',
    },
    { command: 'walnut init shop --new-incarnation', does: 'go on after pg_upgrade' },
  ],
  exitCodes: [0, 1, 2, 130],
  validate: ({ server, newIncarnation }) => {
    if (newIncarnation && server === undefined) {
      throw new WalnutError('usage', 'option --new-incarnation: name the server it is meant for');
    }
  },
  run: async (values, context) => {
    const { runInit } = await import('../run-init.ts');
    return await runInit(values, context);
  },
});
