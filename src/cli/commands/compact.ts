import type { CompactDocument } from '../../api/retention-contract.ts';
import { ERROR_CODES } from '../../lib/walnut-error.ts';
import type { CompactOutcome } from '../../maintenance/compact.ts';
import type { PackPlan } from '../../maintenance/compaction-plan.ts';
import { defineCommand, flag, option, optionalArgument, type Command } from '../command.ts';
import { withRepository } from '../repository-access.ts';
import { parsePercent } from '../values.ts';

/** Below this share of live content the space won is worth the reading and writing. */
const THRESHOLD_PERCENT = 50;

export const compactCommand: Command = defineCommand({
  name: 'compact',
  summary: 'rewrite packs of which little is still needed, to win space',
  description:
    'Deleted backups leave packs of which other backups still need a part. This moves what is needed into new packs, ' +
    'gives each backup concerned a new revision of its manifest, and deletes the old packs: without the database host, ' +
    'every frame checked on the way. Prints first which packs, and what that frees. A frame that does not verify is not ' +
    'moved; its pack stays and the command ends with 4. Interrupted at any moment, every backup stays restorable.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {
    threshold: option({
      label: 'PERCENT',
      help: `rewrite packs of which less than this share is needed (default: ${THRESHOLD_PERCENT})`,
      parse: parsePercent,
    }),
    dryRun: flag('print what would be rewritten and change nothing'),
  },
  examples: [
    { command: 'walnut compact shop --dry-run', does: 'see what there is to win' },
    { command: 'walnut compact shop --threshold 30', does: 'only the emptiest packs' },
  ],
  exitCodes: [0, 1, 2, 4, 130],
  run: async ({ server: name, threshold = THRESHOLD_PERCENT, dryRun }, context) => {
    const { output, signal } = context;
    const server = await context.resolveServer(name);
    const { compact } = await import('../../maintenance/compact.ts');
    const { compactDocumentOf } = await import('../retention-documents.ts');
    const { renderCompacted, renderCompactionPlan } = await import('../render/compact.ts');
    const bar = output.startProgress('compacting');
    let outcome: CompactOutcome;
    try {
      outcome = await withRepository(server.repository, async (store) => {
        const { level } = server;
        const what = { store, server: server.name, thresholdPercent: threshold, level, dryRun };
        let done = 0;
        let total = 0;
        const planned = (packs: readonly PackPlan[]): void => {
          total = packs.filter(({ heldBack }) => heldBack === null).length;
          if (!context.json && !dryRun) output.print(renderCompactionPlan(packs));
        };
        const rewritten = (packs: number): void => {
          done += packs;
          bar.update(done, total);
        };
        return compact({ ...what, now: context.now() }, { planned, rewritten }, signal);
      });
    } finally {
      output.stopProgress();
    }
    const circumstances = { server: server.name, dryRun, thresholdPercent: threshold };
    const document: CompactDocument = compactDocumentOf(outcome, circumstances);
    const text = dryRun ? renderCompactionPlan(outcome.packs) : renderCompacted(outcome);
    const isDamaged = outcome.damaged.length > 0;
    return { document, text, exitCode: isDamaged ? ERROR_CODES['damage-reported'] : 0 };
  },
});
