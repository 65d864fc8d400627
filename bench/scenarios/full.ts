import { must } from '../../src/lib/assert.ts';
import {
  forgetRestored,
  inTurn,
  leave,
  measureCommand,
  measureRestore,
  newAttempt,
  storedBytes,
  type Scenario,
} from './scenario.ts';

/** A full backup into an empty repository, and its restore, at each level. */
export const full: Scenario = async (bench) => {
  const { cluster, contenders, options, results } = bench;
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const level of options.levels) {
      await forgetRestored(cluster);
      for (const contender of inTurn(contenders, repetition)) {
        const attempt = await newAttempt(bench, contender, level);
        await cluster.archiveWith(contender.archiveCommand(attempt));
        const backup = must(contender.backup(attempt, 'full'), 'everyone takes full backups');
        const common = { contender: contender.name, repetition };
        results.add({
          ...common,
          section: `Full backup, zstd-${level}`,
          measurement: await measureCommand(attempt, backup),
          amountBytes: cluster.bytes,
          storedBytes: storedBytes(contender, attempt),
        });
        const { measurement, bytes } = await measureRestore(attempt, contender);
        results.add({
          ...common,
          section: `Restore, zstd-${level}`,
          measurement,
          amountBytes: bytes,
          storedBytes: null,
        });
        await leave(attempt);
      }
    }
  }
};
