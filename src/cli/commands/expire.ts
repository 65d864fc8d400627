import { defineCommand, flag, optionalArgument, type Command } from '../command.ts';
import { withRepository } from '../repository-access.ts';

export const expireCommand: Command = defineCommand({
  name: 'expire',
  summary: 'delete the backups and WAL that retention no longer keeps',
  description:
    'Makes a plan by the retention keys of the configuration and prints it: which backups stay and why, which go, which ' +
    'WAL goes with them, what that frees and which moments can no longer be restored. Then it deletes what the plan ' +
    'names, and nothing else. The newest undamaged backup, backups that are marked by `keep` and backups that are being ' +
    'read always stay. Interrupted at any moment, it leaves everything that it keeps restorable; the next run finishes. ' +
    'Without any retention key nothing expires.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: { dryRun: flag('print the plan and change nothing') },
  examples: [
    { command: 'walnut expire shop --dry-run', does: 'see what would go' },
    { command: 'walnut expire shop', does: 'after the nightly backup, by cron' },
  ],
  exitCodes: [0, 1, 2, 130],
  run: async ({ server: name, dryRun }, context) => {
    const { output, signal } = context;
    const server = await context.resolveServer(name);
    const { expire } = await import('../../maintenance/expire.ts');
    const { expireDocumentOf } = await import('../retention-documents.ts');
    const { renderRetentionPlan } = await import('../render/retention.ts');
    const { renderBytes } = await import('../render/units.ts');
    const policy = server.retention;
    const outcome = await withRepository(server.repository, async (store) => {
      const options = { store, server: server.name, policy, now: context.now(), dryRun };
      const planned = (made: Parameters<typeof renderRetentionPlan>[0]): void => {
        if (!context.json && !dryRun) output.print(renderRetentionPlan(made));
      };
      return expire(options, { planned, deleted: () => {} }, signal);
    });
    const text = dryRun
      ? renderRetentionPlan(outcome)
      : `Freed ${renderBytes(outcome.freedBytes)}.`;
    return { document: expireDocumentOf(outcome, dryRun), text };
  },
});
