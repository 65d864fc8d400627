import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { sleep } from '../../src/lib/sleep.ts';
import { makeOwnedFolder } from '../../src/sandbox/cluster-folder.ts';
import { removeFolder } from '../../src/sandbox/scratch-folder.ts';
import type { BenchCluster } from '../bench-cluster.ts';
import type { Attempt, Contender, PreparedCommand } from '../contenders/contender.ts';
import { measure, type Measurement } from '../measure.ts';
import type { BenchOptions } from '../options.ts';
import type { Results } from '../result.ts';

/** Folders that were restored into stay until {@link forgetRestored}; their names begin with this. */
const RESTORED = 'restored-';
/** Free space, in clusters, below which they have to go earlier. */
const ROOM_FACTOR = 2;
/** How long ext4 walks past each inode that was freed, one by one, before it gives a new file another (fs/ext4/ialloc.c). */
const INODES_FREED_MS = 61_000;
const ARCHIVE_POLL_MS = 100;
const ARCHIVED_MS_MAX = 120_000;

export type Bench = {
  readonly options: BenchOptions;
  readonly cluster: BenchCluster;
  readonly contenders: readonly Contender[];
  readonly results: Results;
};

/** Measures some things of all contenders; leaves the cluster archiving to nowhere. */
export type Scenario = (bench: Bench) => Promise<void>;

/** Contenders in an order that turns with the repetitions, so that what disturbs the machine disturbs all. */
export function inTurn(contenders: readonly Contender[], repetition: number): Contender[] {
  const first = repetition % Math.max(1, contenders.length);
  return [...contenders.slice(first), ...contenders.slice(0, first)];
}

/** A folder with a contender's empty repository. */
export async function newAttempt(
  { cluster, options }: Bench,
  contender: Contender,
  level: number,
): Promise<Attempt> {
  const folder = join(cluster.workFolder, contender.name);
  await removeFolder(folder);
  await makeOwnedFolder(folder, cluster.server.user);
  const attempt = { cluster, folder, level, jobs: options.jobs };
  await contender.prepare(attempt);
  return attempt;
}

/**
 * Removes a contender's folder when the archiver is done with it: one that fails for want of a repository tries again only
 * after a minute, in the measured time of the next.
 */
export async function leave({ cluster, folder }: Attempt): Promise<void> {
  await cluster.archiveWith('/bin/true');
  await untilArchived(cluster);
  await removeFolder(folder);
}

/** Waits until no finished segment waits to be archived. */
export async function untilArchived(cluster: BenchCluster): Promise<void> {
  const deadline = Date.now() + ARCHIVED_MS_MAX;
  for (;;) {
    const [row] = await cluster.query(
      "SELECT count(*)::text AS waiting FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'",
    );
    if (row?.['waiting'] === '0') return;
    if (Date.now() > deadline) throw new Error('the archiver does not come to an end');
    await sleep(ARCHIVE_POLL_MS);
  }
}

/** Runs one command from a settled cluster: nobody pays for what another left unwritten. */
export async function measureCommand(
  { cluster, folder }: Attempt,
  prepared: PreparedCommand,
): Promise<Measurement> {
  const { user, pid = 0 } = cluster.server;
  await cluster.checkpoint();
  execFileSync('sync');
  return measure({ ...prepared, user, folder, home: cluster.workFolder, serverPid: pid });
}

export type MeasuredRestore = {
  readonly measurement: Measurement;
  readonly bytes: number;
};

/**
 * Removes what was restored. Whoever makes two thousand files within a minute of that would pay for it, so this waits; it
 * belongs between groups of restores that are compared, and not between two of them as long as there is room.
 */
export async function forgetRestored({ workFolder }: BenchCluster): Promise<void> {
  const restored = restoredFolders(workFolder);
  if (restored.length === 0) return;
  for (const name of restored) await removeFolder(join(workFolder, name));
  execFileSync('sync');
  await sleep(INODES_FREED_MS);
}

function restoredFolders(workFolder: string): string[] {
  return readdirSync(workFolder).filter((name) => name.startsWith(RESTORED));
}

export async function measureRestore(
  attempt: Attempt,
  contender: Contender,
): Promise<MeasuredRestore> {
  const { cluster } = attempt;
  const { workFolder, server } = cluster;
  const { bavail, bsize } = statfsSync(workFolder);
  if (bavail * bsize < ROOM_FACTOR * cluster.bytes) await forgetRestored(cluster);
  const target = join(workFolder, `${RESTORED}${restoredFolders(workFolder).length}`);
  await makeOwnedFolder(target, server.user);
  const measurement = await measureCommand(attempt, contender.restore(attempt, target));
  return { measurement, bytes: requireRestored(cluster, target, contender.name) };
}

export function storedBytes(contender: Contender, attempt: Attempt): number {
  const folder = contender.storedFolder(attempt);
  return existsSync(folder) ? folderBytes(folder, /^pg_wal\.tar/) : 0;
}

/** A restore that leaves files out would be a fast one. */
function requireRestored({ server }: BenchCluster, target: string, name: string): number {
  const [wanted, restored] = [server.dataFolder, target].map((folder) =>
    folderBytes(join(folder, 'base'), /^(pgsql_tmp|pg_internal)/),
  );
  if (restored !== wanted || restored === undefined) {
    throw new Error(`${name} restored ${restored} bytes of relations, the cluster has ${wanted}`);
  }
  return restored;
}

/** Symbolic links are not followed: pgBackRest's `latest` would count its backup twice. */
function folderBytes(folder: string, except: RegExp): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += folderBytes(path, except);
    else if (entry.isFile() && !except.test(entry.name)) bytes += lstatSync(path).size;
  }
  return bytes;
}
