/** Who does what, when: contenders take turns within each repetition, so that what disturbs the machine disturbs all. */
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeOwnedFolder } from '../src/sandbox/cluster-folder.ts';
import { removeFolder } from '../src/sandbox/scratch-folder.ts';
import type { BenchCluster } from './bench-cluster.ts';
import type { Attempt, Contender } from './contenders/contender.ts';
import { measure, type Measurement } from './measure.ts';
import type { BenchOptions } from './options.ts';

export type Run = {
  readonly contender: string;
  readonly level: number;
  readonly repetition: number;
  readonly backup: Measurement;
  readonly restore: Measurement;
  readonly storedBytes: number;
};

export type RoundOptions = BenchOptions & { readonly cluster: BenchCluster };

export async function runRounds(
  contenders: readonly Contender[],
  options: RoundOptions,
): Promise<Run[]> {
  const runs: Run[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    for (const level of options.levels) {
      for (let turn = 0; turn < contenders.length; turn += 1) {
        const contender = contenders[(turn + repetition) % contenders.length];
        if (contender === undefined) continue;
        const run = await runOnce(contender, { level, repetition, options });
        console.log(
          `${repetition + 1} ${contender.name} zstd-${level}: backup ${shown(run.backup)}, restore ${shown(run.restore)}, stored ${(run.storedBytes / 1e6).toFixed(0)} MB`,
        );
        runs.push(run);
      }
    }
  }
  return runs;
}

async function runOnce(
  contender: Contender,
  round: { readonly level: number; readonly repetition: number; readonly options: RoundOptions },
): Promise<Run> {
  const { cluster, jobs } = round.options;
  const { user, pid: serverPid = 0 } = cluster.server;
  const folder = join(cluster.workFolder, 'attempt');
  const target = join(cluster.workFolder, 'restored');
  await makeOwnedFolder(folder, user);
  await makeOwnedFolder(target, user);
  try {
    const attempt: Attempt = { cluster, folder, level: round.level, jobs };
    const place = { user, folder, serverPid };
    const backup = await contender.prepareBackup(attempt);
    await settle(cluster);
    const backupTook = await measure({ ...backup, ...place });
    const restore = await contender.prepareRestore(attempt, target);
    await settle(cluster);
    const restoreTook = await measure({ ...restore, ...place });
    requireRestored(cluster, target, contender.name);
    return {
      contender: contender.name,
      level: round.level,
      repetition: round.repetition,
      backup: backupTook,
      restore: restoreTook,
      storedBytes: folderBytes(contender.storedFolder(attempt), /^pg_wal\.tar/),
    };
  } finally {
    await cluster.archiveWith('/bin/true');
    await removeFolder(folder);
    await removeFolder(target);
  }
}

/** Nobody pays for what another left unwritten. */
async function settle(cluster: BenchCluster): Promise<void> {
  await cluster.checkpoint();
  execFileSync('sync');
}

/** A restore that leaves files out would be a fast one. */
function requireRestored(cluster: BenchCluster, target: string, name: string): void {
  const wanted = folderBytes(join(cluster.server.dataFolder, 'base'), /^(pgsql_tmp|pg_internal)/);
  const restored = folderBytes(join(target, 'base'), /^(pgsql_tmp|pg_internal)/);
  if (restored !== wanted) {
    throw new Error(`${name} restored ${restored} bytes of relations, the cluster has ${wanted}`);
  }
}

function folderBytes(folder: string, except: RegExp): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !except.test(entry.name))
    .reduce((sum, entry) => sum + lstatSync(join(entry.parentPath, entry.name)).size, 0);
}

function shown({ seconds, cpuSeconds }: Measurement): string {
  return `${seconds.toFixed(2)} s (CPU ${cpuSeconds.toFixed(2)} s)`;
}
