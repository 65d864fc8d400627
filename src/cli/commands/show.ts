import { WalnutError } from '../../lib/walnut-error.ts';
import { argument, defineCommand, type Command } from '../command.ts';
import { parseBackupId } from '../values.ts';

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
  run: async ({ server: name, backup: wanted }, context) => {
    const server = await context.resolveServer(name);
    const { readShownBackup } = await import('../list-server.ts');
    const { showDocumentOf } = await import('../list-documents.ts');
    const { renderShow } = await import('../render/show.ts');
    const { withRepository } = await import('../repository-access.ts');
    const shown = await withRepository(server.repository, (store) =>
      readShownBackup(store, { name: server.name, wanted, now: context.now() }),
    );
    if (shown === null) {
      throw new WalnutError('no-backup', `show backup ${wanted} of server ${name}: there is none`, {
        hint: `\`walnut list ${name}\` shows the backups there are.`,
      });
    }
    const document = showDocumentOf(shown, shown.backup);
    return { document, text: renderShow(document, { now: context.now() }) };
  },
});
