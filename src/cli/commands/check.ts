import { defineCommand, optionalArgument, type Command } from '../command.ts';

export const checkCommand: Command = defineCommand({
  name: 'check',
  summary: 'test every precondition; each failure comes with its fix',
  description:
    'Connects, reads settings and grants, opens the repository, and proves the way of the WAL end to end: it switches a ' +
    'segment and waits until it is stored. Keys of the configuration that this release does not act on are named.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'one server; without it, all that are configured',
    }),
  },
  options: {},
  examples: [
    { command: 'walnut check shop', does: 'one server' },
    { command: 'walnut check --json', does: 'all of them, for a monitor' },
  ],
  exitCodes: [0, 1, 2, 3, 130],
  run: async ({ server }, context) => {
    const servers = await context.resolveServers(server);
    const { runCheck } = await import('../run-check.ts');
    return await runCheck(servers, context);
  },
});
