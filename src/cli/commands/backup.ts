import { parseRate } from '../../config/quantities.ts';
import { choice, defineCommand, flag, option, optionalArgument, type Command } from '../command.ts';
import { parseBackupName, parseJobs, parseLevel } from '../values.ts';

export const backupCommand: Command = defineCommand({
  name: 'backup',
  summary: 'back a server up',
  description:
    'Copies the cluster while it works, checks every page on the way, and waits until all WAL that the backup needs is ' +
    'in the repository. An incremental or differential backup reads only pages that changed, as the archived WAL tells, ' +
    'and restores like a full one. When nobody receives the WAL, the backup receives it itself. Interrupted at any moment it ' +
    'leaves no half backup; the next one takes over what was copied and clears away the rest.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {
    type: choice(
      ['full', 'differential', 'incremental'],
      'what to read (default: incremental when a usable parent exists, else full)',
    ),
    from: choice(
      ['auto', 'local', 'connection', 'stream'],
      'how to read the files: from the data directory, over SQL, or by BASE_BACKUP (default: auto, the best that works)',
    ),
    jobs: option({
      label: 'N',
      help: 'workers (default: jobs of the configuration, 2)',
      parse: parseJobs,
    }),
    level: option({
      label: 'L',
      help: 'zstd level, 1 to 19 (default: level of the configuration, 1)',
      parse: parseLevel,
    }),
    checkpoint: choice(
      ['fast', 'spread'],
      'begin at once with a fast checkpoint, or wait for a gentle one (default: fast)',
    ),
    name: option({
      label: 'TEXT',
      help: 'a name for people, shown by list and show',
      parse: parseBackupName,
    }),
    rate: option({ label: 'LIMIT', help: 'read at most LIMIT, such as 50MB/s', parse: parseRate }),
    fresh: flag('store every page again: a full backup that shares nothing with earlier ones'),
    paranoid: flag('read also files that look untouched since the last backup read them'),
  },
  examples: [
    { command: 'walnut backup shop', does: 'the usual' },
    { command: 'walnut backup shop --type full --jobs 4', does: 'everything, with four workers' },
    { command: 'walnut backup shop --type differential', does: 'what changed since the last full' },
    { command: 'walnut backup shop --from stream --rate 50MB/s', does: 'gently, over the network' },
  ],
  exitCodes: [0, 1, 2, 4, 130],
  run: async (values, context) => {
    const { runBackupCommand } = await import('../run-backup.ts');
    return runBackupCommand(values, context);
  },
});
