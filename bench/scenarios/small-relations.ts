import { join } from 'node:path';
import { must } from '../../src/lib/assert.ts';
import {
  inTurn,
  leave,
  measureCommand,
  newAttempt,
  storedBytes,
  type Scenario,
} from './scenario.ts';

/** Relations made in one transaction: below what the lock table holds. */
const BATCH = 2000;

/** Very many small relations: an incremental backup when nothing changed, and the commands that only look. */
export const smallRelations: Scenario = async (bench) => {
  const { cluster, contenders, options, results } = bench;
  const [level = 1] = options.levels;
  for (let made = 0; made < options.relations; made += BATCH) {
    const last = Math.min(made + BATCH, options.relations);
    await cluster.query(
      `DO $$ BEGIN FOR i IN ${made + 1}..${last} LOOP
         EXECUTE format('CREATE TABLE small_%s AS SELECT %s AS id', i, i); END LOOP; END $$`,
    );
  }
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const contender of inTurn(contenders, repetition)) {
      const attempt = await newAttempt(bench, contender, level);
      const idle = contender.backup(attempt, 'incremental');
      if (idle === null) continue;
      await cluster.archiveWith(contender.archiveCommand(attempt));
      const add = async (what: string, prepared: Parameters<typeof measureCommand>[1]) => {
        const before = storedBytes(contender, attempt);
        const measurement = await measureCommand(attempt, prepared);
        results.add({
          section: `${options.relations} small relations, ${what}`,
          contender: contender.name,
          repetition,
          measurement,
          amountBytes: null,
          storedBytes: storedBytes(contender, attempt) - before,
        });
      };
      await add('full backup', must(contender.backup(attempt, 'full'), 'a full backup'));
      await add('incremental backup, nothing changed', idle);
      for (const [what, extra] of Object.entries(contender.extras ?? {})) {
        await add(what, extra(attempt, join(cluster.workFolder, 'planned')));
      }
      await leave(attempt);
    }
  }
};
