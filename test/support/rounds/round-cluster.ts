import { join } from 'node:path';
import type { MajorVersion } from '../../../src/postgres/version.ts';
import { makeOwnedFolder, type Settings } from '../../../src/sandbox/cluster-folder.ts';
import { inject } from 'vitest';
import { testCluster, type TestCluster } from '../cluster.ts';
import { pickOne, randomBelow, type Random } from '../random.ts';
import type { ProtectedServer } from '../protected-server.ts';
import { ROUND_TABLESPACES } from './work-context.ts';

export type RoundCluster = {
  readonly cluster: TestCluster;
  /** Where the server itself copies its WAL, for the twin. */
  readonly archiveFolder: string;
  /** Belongs to the servers' user: for COPY. */
  readonly copyFolder: string;
  /** How WAL comes to Walnut. */
  readonly wal: 'stream' | 'archive';
  /** With a table that one worker does not copy at once. */
  readonly isLarge: boolean;
  /** What was drawn, in words. */
  readonly layout: string;
};

/**
 * A cluster whose layout is drawn, with its tablespaces and databases. Autovacuum is off, so that the work alone decides
 * what happens; the server archives its WAL by itself too, so that the twin needs nothing of Walnut's.
 */
export async function startRoundCluster(
  major: MajorVersion,
  random: Random,
): Promise<RoundCluster> {
  const initdb = {
    dataChecksums: randomBelow(random, 2) === 0,
    walSegmentMegabytes: pickOne(random, [1, 1, 16]),
  };
  const drawn: Settings = {
    wal_log_hints: randomBelow(random, 2) === 0,
    wal_compression: randomBelow(random, 2) === 0,
    full_page_writes: randomBelow(random, 4) !== 0,
    wal_level: pickOne(random, ['replica', 'logical']),
    // Pages leave such a cache in mid-work, hint bits and all.
    shared_buffers: pickOne(random, ['1MB', '16MB']),
  };
  const cluster = await testCluster({ major, initdb, settings: { ...FIXED, ...drawn } });
  const archiveFolder = join(cluster.workFolder, 'archive');
  const copyFolder = join(cluster.workFolder, 'copies');
  for (const folder of [archiveFolder, copyFolder]) {
    await makeOwnedFolder(folder, cluster.server.user);
  }
  for (const name of ROUND_TABLESPACES) await cluster.createTablespace(name);
  for (const name of ['shop', 'ware house']) await cluster.sql(`create database "${name}"`);
  const wal = pickOne(random, ['stream', 'stream', 'stream', 'archive'] as const);
  const isLarge = randomBelow(random, 3) === 0;
  const layout = JSON.stringify({ ...initdb, ...drawn, wal, isLarge });
  return { cluster, archiveFolder, copyFolder, wal, isLarge, layout };
}

/** Lets the server archive: into the folder of the twin, and to Walnut where its WAL comes that way. */
export async function archiveWal(
  { cluster, archiveFolder, wal }: RoundCluster,
  { config, name }: ProtectedServer,
): Promise<void> {
  const program = join(inject('installation'), 'bin/walnut');
  const push = wal === 'archive' ? ` && ${program} wal push --config ${config} ${name} "%p"` : '';
  const command = `${copyCommand(archiveFolder)}${push}`;
  await cluster.sql(`alter system set archive_command = '${command}'`);
  cluster.server.reload();
}

const FIXED: Settings = {
  autovacuum: false,
  archive_mode: true,
  archive_command: 'false',
  // Only the work, the backups and the marks make checkpoints.
  checkpoint_timeout: '1h',
};

/** Written whole or not at all; a second copy of the same segment is as good as the first. */
function copyCommand(folder: string): string {
  return `(test -f ${folder}/%f || (cp %p ${folder}/%f.new && mv ${folder}/%f.new ${folder}/%f))`;
}
