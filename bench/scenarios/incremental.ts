import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/lib/assert.ts';
import { makeOwnedFolder } from '../../src/sandbox/cluster-folder.ts';
import { removeFolder } from '../../src/sandbox/scratch-folder.ts';
import { changePages, appendRows } from '../change-pages.ts';
import type { Attempt, Contender } from '../contenders/contender.ts';
import { measure } from '../measure.ts';
import {
  forgetRestored,
  inTurn,
  leave,
  measureCommand,
  measureRestore,
  newAttempt,
  storedBytes,
  untilArchived,
  type Bench,
  type Scenario,
} from './scenario.ts';

const CHAIN_LENGTH = 10;
const CHAIN_SHARE = 0.01;

type Entrant = { readonly contender: Contender; readonly attempt: Attempt };

type Change = { readonly name: string; readonly apply: (bench: Bench) => Promise<number> };

function randomPages(share: number): Change {
  const name = `${share * 100} % of the pages, at random`;
  return { name, apply: async ({ cluster }) => changePages(cluster, share) };
}

const CHANGES: readonly Change[] = [
  { name: 'nothing changed', apply: async () => 0 },
  ...[0.001, 0.01, 0.1].map(randomPages),
  { name: 'rows appended', apply: async ({ cluster }) => appendRows(cluster) },
];

/** Incremental backups of the same changes by everyone who has them: each kind of change once per repetition. */
export const incremental: Scenario = async (bench) => {
  const entrants = await enter(bench);
  try {
    for (let repetition = 0; repetition < bench.options.repetitions; repetition += 1) {
      for (const change of CHANGES) {
        await takeAll(bench, entrants, { change, repetition, isMeasured: true });
      }
    }
  } finally {
    for (const { attempt } of entrants) await leave(attempt);
  }
};

/** Restores of a fresh full backup, and of the tenth incremental one that rests on it. */
export const chain: Scenario = async (bench) => {
  const entrants = await enter(bench);
  try {
    await restoreAll(bench, entrants, 'Restore from a fresh full backup');
    const change = randomPages(CHAIN_SHARE);
    for (let number = 0; number < CHAIN_LENGTH; number += 1) {
      await takeAll(bench, entrants, { change, repetition: number, isMeasured: false });
    }
    const section = `Restore from the last of ${CHAIN_LENGTH} incremental backups of ${CHAIN_SHARE * 100} %`;
    await restoreAll(bench, entrants, section);
  } finally {
    for (const { attempt } of entrants) await leave(attempt);
  }
};

async function restoreAll(
  bench: Bench,
  entrants: readonly Entrant[],
  section: string,
): Promise<void> {
  await forgetRestored(bench.cluster);
  for (let repetition = 0; repetition < bench.options.repetitions; repetition += 1) {
    for (const contender of inTurn(bench.contenders, repetition)) {
      const entrant = entrants.find((one) => one.contender === contender);
      if (entrant === undefined) continue;
      const { measurement, bytes } = await measureRestore(entrant.attempt, contender);
      bench.results.add({
        section,
        contender: contender.name,
        repetition,
        measurement,
        amountBytes: bytes,
        storedBytes: null,
      });
    }
  }
}

/** A full backup of each, not measured here. */
async function enter(bench: Bench): Promise<Entrant[]> {
  const [level = 1] = bench.options.levels;
  await removeFolder(pendingFolder(bench));
  await makeOwnedFolder(pendingFolder(bench), bench.cluster.server.user);
  const entrants: Entrant[] = [];
  for (const contender of bench.contenders) {
    const attempt = await newAttempt(bench, contender, level);
    if (contender.backup(attempt, 'incremental') === null) continue;
    entrants.push({ contender, attempt });
  }
  for (const entrant of entrants) {
    const command = must(entrant.contender.backup(entrant.attempt, 'full'), 'a full backup');
    await withTurn(bench, entrant, async () => measureCommand(entrant.attempt, command));
  }
  return entrants;
}

async function takeAll(
  bench: Bench,
  entrants: readonly Entrant[],
  step: { readonly change: Change; readonly repetition: number; readonly isMeasured: boolean },
): Promise<void> {
  await bench.cluster.archiveWith(keep(bench));
  const changedBytes = await step.change.apply(bench);
  const turn = inTurn(
    entrants.map(({ contender }) => contender),
    step.repetition,
  );
  for (const contender of turn) {
    const entrant = must(
      entrants.find((one) => one.contender === contender),
      'an entrant',
    );
    const { attempt } = entrant;
    const command = must(contender.backup(attempt, 'incremental'), 'an incremental backup');
    const before = storedBytes(contender, attempt);
    const measurement = await withTurn(bench, entrant, async () =>
      measureCommand(attempt, command),
    );
    if (!step.isMeasured) continue;
    bench.results.add({
      section: `Incremental backup, ${step.change.name}`,
      contender: contender.name,
      repetition: step.repetition,
      measurement,
      amountBytes: changedBytes === 0 ? null : changedBytes,
      storedBytes: storedBytes(contender, attempt) - before,
    });
  }
}

/**
 * Archives to one contender; whoever needs all WAL (`takeWal`) is given later what came while others had their turn, not
 * within the measured time.
 */
async function withTurn<T>(bench: Bench, entrant: Entrant, act: () => Promise<T>): Promise<T> {
  const { contender, attempt } = entrant;
  const { cluster } = bench;
  const folder = pendingFolder(bench);
  await cluster.switchWal();
  // A segment that the archiver still has in hand would be missing between those that are handed over.
  await untilArchived(cluster);
  if (contender.takeWal !== undefined) {
    for (const file of readdirSync(folder).toSorted()) {
      await measure({
        ...contender.takeWal(attempt, join(folder, file)),
        user: cluster.server.user,
        folder: attempt.folder,
        home: cluster.workFolder,
        serverPid: 0,
      });
      await removeFolder(join(folder, file));
    }
    await cluster.archiveWith(contender.archiveCommand(attempt));
  } else {
    await cluster.archiveWith(`${keep(bench)} && ${contender.archiveCommand(attempt)}`);
  }
  try {
    return await act();
  } finally {
    await cluster.archiveWith(keep(bench));
  }
}

function pendingFolder({ cluster }: Bench): string {
  return join(cluster.workFolder, 'pending');
}

function keep(bench: Bench): string {
  return `cp %p ${pendingFolder(bench)}/%f`;
}
