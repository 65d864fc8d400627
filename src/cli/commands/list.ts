import { defineCommand, optionalArgument, type Command } from '../command.ts';

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
  run: async ({ server }, context) => {
    const servers = await context.resolveServers(server);
    const { listServerContents } = await import('../list-server.ts');
    const { listedServerOf } = await import('../list-documents.ts');
    const { renderList } = await import('../render/list.ts');
    const { withRepository } = await import('../repository-access.ts');
    const contents = [];
    for (const { repository, name } of servers) {
      contents.push(
        await withRepository(repository, (store) => listServerContents(store, name, context.now())),
      );
    }
    for (const { name, unreadable } of contents) {
      for (const { id, reason } of unreadable) {
        context.output.note(`${name}: backup ${id} cannot be used: ${reason}`);
      }
    }
    return {
      document: { servers: contents.map(listedServerOf) },
      text: renderList(contents, { now: context.now() }),
    };
  },
});
