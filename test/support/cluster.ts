import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { inject } from 'vitest';
import type { MajorVersion } from '../../src/postgres/version.ts';
import {
  makeOwnedFolder,
  type InitdbOptions,
  type Settings,
} from '../../src/sandbox/cluster-folder.ts';
import {
  findPostgresqlBinaries,
  type PostgresqlBinaries,
} from '../../src/sandbox/postgresql-binaries.ts';
import { makeScratchFolder, type ScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import { stageBinaries } from '../../src/sandbox/staged-binaries.ts';
import {
  adoptServer,
  createServer,
  type ConnectionStringOptions,
  type TemporaryServer,
} from '../../src/sandbox/temporary-server.ts';
import { unprivilegedUser } from '../../src/sandbox/unprivileged-user.ts';

export type TestClusterOptions = {
  readonly major: MajorVersion;
  /** Over the defaults below. */
  readonly settings?: Settings;
  readonly initdb?: InitdbOptions;
  readonly hbaLines?: readonly string[];
  /** Default: off, so that tests are fast; a killed server loses nothing by it, only a killed machine would. */
  readonly fsync?: boolean;
  /** Default: true; false leaves out the roles `walnut` and `replicator`. */
  readonly roles?: boolean;
};

export type AdoptClusterOptions = {
  readonly major: MajorVersion;
  readonly dataFolder: string;
  /** Given on the command line; the files of the cluster stay as they are. */
  readonly overrides?: Settings;
  /** Of the server and what it runs, such as its restore_command. */
  readonly env?: Readonly<Record<string, string>>;
};

export type SqlOptions = {
  readonly database?: string;
  readonly user?: string;
  readonly parameters?: readonly unknown[];
};

export type Row = Record<string, unknown>;

/** The roles that a test cluster has beside the superuser `postgres`; all have this password. */
export const TEST_PASSWORD = 'a test has no secrets';

/** The names and arguments of the functions that role `walnut` may execute, as Walnut's guide grants them. */
export function grantedFunctions(major: MajorVersion): string[] {
  const backup =
    major >= 15
      ? ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']
      : ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)'];
  return [
    'pg_ls_dir(text, boolean, boolean)',
    'pg_stat_file(text, boolean)',
    'pg_read_binary_file(text, bigint, bigint, boolean)',
    ...backup,
    'pg_switch_wal()',
    'pg_create_restore_point(text)',
  ];
}

/** Server programs of a version that the servers' user can run, staged once for the whole test run. */
export async function testBinaries(major: MajorVersion): Promise<PostgresqlBinaries> {
  return await stageBinaries(await findPostgresqlBinaries(major), {
    user: await unprivilegedUser(),
    cacheFolder: inject('binariesCache'),
  });
}

/** A new cluster, started, on a Unix socket and a free TCP port. The caller disposes of it. */
export async function testCluster(options: TestClusterOptions): Promise<TestCluster> {
  const binaries = await testBinaries(options.major);
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user, { prefix: 'walnut-test-' });
  try {
    const server = await createServer({
      binaries,
      user,
      folder: scratch.path,
      port: 'free',
      settings: { ...defaultSettings(options), ...options.settings },
      ...(options.hbaLines === undefined ? {} : { hbaLines: options.hbaLines }),
      ...(options.initdb === undefined ? {} : { initdb: options.initdb }),
    });
    await makeOwnedFolder(join(scratch.path, 'work'), user);
    const cluster = new TestCluster(server, scratch);
    await server.start();
    if (options.roles !== false) await createRoles(cluster);
    return cluster;
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

/** An existing data folder, such as a restored one, as a cluster that is not started yet. */
export async function adoptCluster(options: AdoptClusterOptions): Promise<TestCluster> {
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user, { prefix: 'walnut-test-' });
  const server = await adoptServer({
    binaries: await testBinaries(options.major),
    user,
    folder: scratch.path,
    dataFolder: options.dataFolder,
    port: 'free',
    overrides: options.overrides ?? {},
    env: options.env ?? {},
  });
  await makeOwnedFolder(join(scratch.path, 'work'), user);
  return new TestCluster(server, scratch);
}

/** A server for one test, with a work folder beside it. */
export class TestCluster {
  readonly server: TemporaryServer;
  readonly #scratch: ScratchFolder;

  constructor(server: TemporaryServer, scratch: ScratchFolder) {
    this.server = server;
    this.#scratch = scratch;
  }

  get major(): MajorVersion {
    return this.server.binaries.majorVersion;
  }

  get dataFolder(): string {
    return this.server.dataFolder;
  }

  /** Belongs to the servers' user: for repositories, restore targets, configurations. */
  get workFolder(): string {
    return join(this.#scratch.path, 'work');
  }

  /** Over TCP with the role's password; over the socket as `postgres` without any. */
  connectionString(options: ConnectionStringOptions = {}): string {
    const password = options.user === undefined ? {} : { password: TEST_PASSWORD };
    return this.server.connectionString({ over: 'tcp', ...password, ...options });
  }

  /** Runs one query in a connection of its own, as superuser over the socket unless told otherwise. */
  async sql<T extends Row = Row>(query: string, options: SqlOptions = {}): Promise<T[]> {
    const client = await this.connect(options);
    try {
      const { rows } = await client.query(query, [...(options.parameters ?? [])]);
      return rows as T[];
    } finally {
      await client.end();
    }
  }

  /** The first column of the first row, as text; throws when there is none. */
  async value(query: string, options: SqlOptions = {}): Promise<string> {
    const [row] = await this.sql(query, options);
    const [value] = Object.values(row ?? {});
    if (value === undefined || value === null) throw new Error(`no value from: ${query}`);
    return typeof value === 'string' ? value : JSON.stringify(value);
  }

  /** An open connection. Its loss, as when the server is killed, shows in its next query, not as an event. */
  async connect({ database, user }: SqlOptions = {}): Promise<Client> {
    const connectionString =
      user === undefined
        ? this.server.connectionString(database === undefined ? {} : { database })
        : this.connectionString({ user, ...(database === undefined ? {} : { database }) });
    const client = new Client({ connectionString });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Makes a tablespace in a folder outside the data folder and answers that folder. */
  async createTablespace(name: string): Promise<string> {
    const parent = join(this.#scratch.path, 'tablespaces');
    await mkdir(parent, { recursive: true, mode: 0o755 });
    const location = join(parent, name);
    await makeOwnedFolder(location, this.server.user);
    await this.sql(`create tablespace "${name}" location '${location}'`);
    return location;
  }

  /** Stops the server and removes all of its files. */
  async dispose(): Promise<void> {
    await this.server.dispose();
    await this.#scratch.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** Commit times are kept so that a test can compute what had to be there at any moment. */
function defaultSettings({ fsync = false, initdb = {} }: TestClusterOptions): Settings {
  const segmentMegabytes = initdb.walSegmentMegabytes ?? 16;
  return {
    fsync,
    shared_buffers: '16MB',
    max_connections: 40,
    wal_level: 'replica',
    max_wal_senders: 10,
    max_replication_slots: 10,
    max_prepared_transactions: 10,
    min_wal_size: `${Math.max(32, segmentMegabytes * 2)}MB`,
    max_wal_size: `${Math.max(256, segmentMegabytes * 8)}MB`,
    track_commit_timestamp: true,
    log_checkpoints: true,
    log_replication_commands: true,
  };
}

async function createRoles(cluster: TestCluster): Promise<void> {
  const statements = [
    `create role walnut login replication password '${TEST_PASSWORD}'`,
    `create role replicator login replication password '${TEST_PASSWORD}'`,
    'grant pg_monitor to walnut',
    ...grantedFunctions(cluster.major).map((name) => `grant execute on function ${name} to walnut`),
  ];
  await cluster.sql(statements.join(';\n'));
}
