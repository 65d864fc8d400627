import { argument, defineCommand, flag, variadicArgument, type Command } from '../command.ts';
import { withRepository } from '../repository-access.ts';
import { parseBackupId } from '../values.ts';

export const deleteCommand: Command = defineCommand({
  name: 'delete',
  summary: 'delete backups by name',
  description:
    'Prints first what goes, what that frees and which moments can no longer be restored. No other backup is hurt: what ' +
    'another one needs stays. WAL stays too; `expire` removes what of it nobody needs. A backup that is marked by `keep`, ' +
    'and the last undamaged one, are deleted only when you say so.',
  arguments: {
    server: argument({ label: 'SERVER', help: 'the server' }),
    backups: variadicArgument({
      label: 'BACKUP',
      help: 'the ids that list shows',
      parse: parseBackupId,
    }),
  },
  options: {
    dryRun: flag('print what would go and change nothing'),
    evenKept: flag('also backups that are marked to be kept'),
    evenLast: flag('also the last undamaged backup: nothing can be restored after it'),
  },
  examples: [
    { command: 'walnut delete shop 20261122T191500Z-F --dry-run', does: 'see what would be lost' },
    {
      command: 'walnut delete shop 20261122T191500Z-F 20261123T191500Z-I',
      does: 'delete two backups',
    },
  ],
  exitCodes: [0, 1, 2, 130],
  run: async ({ server: name, backups, dryRun, evenKept, evenLast }, context) => {
    const { output, signal } = context;
    const server = await context.resolveServer(name);
    const { deleteBackups } = await import('../../maintenance/delete-backups.ts');
    const { deleteDocumentOf } = await import('../retention-documents.ts');
    const { renderDeletionPlan } = await import('../render/retention.ts');
    const { renderBytes } = await import('../render/units.ts');
    const outcome = await withRepository(server.repository, async (store) => {
      const force = { includesKept: evenKept, includesLast: evenLast };
      const what = { store, server: server.name, backups, now: context.now(), dryRun };
      const planned = (made: Parameters<typeof renderDeletionPlan>[0]): void => {
        if (!context.json && !dryRun) output.print(renderDeletionPlan(made));
      };
      return deleteBackups({ ...what, ...force }, { planned, deleted: () => {} }, signal);
    });
    const text = dryRun
      ? renderDeletionPlan(outcome)
      : `Deleted. Freed ${renderBytes(outcome.freedBytes)}.`;
    return { document: deleteDocumentOf(outcome, { server: server.name, dryRun }), text };
  },
});
