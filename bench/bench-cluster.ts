/** The cluster that everyone backs up, and the scratch folder in which all of it happens. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readConnectionSettings } from '../src/postgres/connection/connection-settings.ts';
import { systemSources } from '../src/postgres/connection/connection-sources.ts';
import { openSession } from '../src/postgres/connection/open-session.ts';
import type { Session } from '../src/postgres/connection/session.ts';
import { parseLsn } from '../src/postgres/lsn.ts';
import { makeOwnedFolder } from '../src/sandbox/cluster-folder.ts';
import { findPostgresqlBinaries } from '../src/sandbox/postgresql-binaries.ts';
import { makeScratchFolder } from '../src/sandbox/scratch-folder.ts';
import { stageBinaries } from '../src/sandbox/staged-binaries.ts';
import { createServer, type TemporaryServer } from '../src/sandbox/temporary-server.ts';
import { unprivilegedUser } from '../src/sandbox/unprivileged-user.ts';
import { fillWithMixedTables } from './mixed-tables.ts';
import type { BenchOptions } from './options.ts';

const MAJOR_VERSION = 18;

export type BenchCluster = AsyncDisposable & {
  readonly server: TemporaryServer;
  /** Owned by the server's user: repositories and restored copies go here. */
  readonly workFolder: string;
  /** Readable for everyone: programs and their configuration. */
  readonly toolFolder: string;
  readonly bytes: number;
  /** Names what archives finished WAL from now on. */
  archiveWith(command: string): Promise<void>;
  checkpoint(): Promise<void>;
  query(sql: string): Promise<readonly Record<string, string>[]>;
  /** Ends the open WAL segment, if there is anything in it. */
  switchWal(): Promise<void>;
  walPosition(): Promise<bigint>;
};

export async function newCluster(options: BenchOptions): Promise<BenchCluster> {
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user, { prefix: 'walnut-bench-' });
  const toolFolder = join(scratch.path, 'tools');
  const workFolder = join(scratch.path, 'work');
  await mkdir(toolFolder, { mode: 0o755 });
  await makeOwnedFolder(workFolder, user);
  const found = await findPostgresqlBinaries(
    MAJOR_VERSION,
    options.postgresql === undefined
      ? { sources: ['system', 'package'] }
      : { folder: options.postgresql },
  );
  const binaries = await stageBinaries(found, { user, cacheFolder: toolFolder });
  const server = await createServer({
    binaries,
    user,
    folder: scratch.path,
    settings: {
      shared_buffers: '256MB',
      max_wal_size: '16GB',
      checkpoint_timeout: '1d',
      synchronous_commit: 'off',
      maintenance_work_mem: '256MB',
      max_parallel_maintenance_workers: 0,
      autovacuum: 'off',
      wal_level: 'replica',
      max_wal_senders: 10,
      wal_keep_size: '1GB',
      max_locks_per_transaction: 256,
      archive_mode: 'on',
      archive_command: '/bin/true',
    },
  });
  await server.start();
  const open = async (): Promise<Session> =>
    openSession(readConnectionSettings(server.connectionString(), systemSources()), {
      applicationName: 'walnut bench',
    });
  const session = await open();
  const query = async (sql: string): Promise<Record<string, string>[]> =>
    session.query<Record<string, string>>(sql, { act: 'prepare the measurement' });
  const bytes = await fillWithMixedTables(session, await open(), options.sizeBytes);
  return {
    server,
    workFolder,
    toolFolder,
    bytes,
    async archiveWith(command) {
      await session.query(`ALTER SYSTEM SET archive_command = '${command.replaceAll("'", "''")}'`, {
        act: 'set archive_command',
      });
      await session.query('SELECT pg_reload_conf()', { act: 'reload the configuration' });
    },
    checkpoint: async () => void (await query('CHECKPOINT')),
    query,
    switchWal: async () => void (await query('SELECT pg_switch_wal()')),
    async walPosition() {
      const [row] = await query('SELECT pg_current_wal_flush_lsn()::text AS lsn');
      return parseLsn(row?.['lsn'] ?? '');
    },
    async [Symbol.asyncDispose]() {
      await session.close();
      await server.dispose();
      await scratch.remove();
    },
  };
}
