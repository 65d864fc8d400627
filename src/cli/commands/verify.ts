import { WalnutError } from '../../lib/walnut-error.ts';
import { defineCommand, option, optionalArgument, type Command } from '../command.ts';
import { parseBackupId, parseJobs, parsePercent } from '../values.ts';

export const verifyCommand: Command = defineCommand({
  name: 'verify',
  summary: 'read everything back from the repository and check it',
  description:
    'Every object is read, decompressed and compared with its hash: backups, WAL, indexes, history files. What is ' +
    'damaged is listed with the backups and WAL it belongs to, and remembered, so that no later backup shares it.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'one server; without it, all that are configured',
    }),
  },
  options: {
    backup: option({ label: 'ID', help: 'only what this backup needs', parse: parseBackupId }),
    sample: option({
      label: 'PERCENT',
      help: 'this share of the data, the longest unchecked first, instead of all of it',
      parse: parsePercent,
    }),
    jobs: option({
      label: 'N',
      help: 'workers (default: jobs of the configuration, 2)',
      parse: parseJobs,
    }),
  },
  examples: [
    { command: 'walnut verify', does: 'everything' },
    { command: 'walnut verify shop --sample 5', does: 'every day: all is checked in 20 days' },
  ],
  exitCodes: [0, 1, 2, 3, 130],
  run: async (values, context) => {
    const servers = await context.resolveServers(values.server);
    if (values.backup !== undefined && servers.length !== 1) {
      throw new WalnutError('usage', 'option --backup: name the server whose backup it is');
    }
    const { runVerify } = await import('../run-verify.ts');
    return await runVerify(servers, values, context);
  },
});
