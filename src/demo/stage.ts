/** Where the demo plays: a scratch folder, a PostgreSQL in it, and an empty repository. */
import { join } from 'node:path';
import {
  readConnectionSettings,
  type ConnectionSettings,
} from '../postgres/connection/connection-settings.ts';
import { systemSources } from '../postgres/connection/connection-sources.ts';
import { createRepository } from '../repository/repository.ts';
import { makeOwnedFolder } from '../sandbox/cluster-folder.ts';
import { findPostgresqlBinaries, type PostgresqlBinaries } from '../sandbox/postgresql-binaries.ts';
import { makeScratchFolder } from '../sandbox/scratch-folder.ts';
import { stageBinaries } from '../sandbox/staged-binaries.ts';
import { adoptServer, createServer, type TemporaryServer } from '../sandbox/temporary-server.ts';
import { unprivilegedUser, type SystemUser } from '../sandbox/unprivileged-user.ts';
import { createFilesystemFolder } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';
import type { ShopLoad } from './shop.ts';

const MAJOR = 18;

export type DemoStage = {
  readonly folder: string;
  readonly user: SystemUser;
  readonly binaries: PostgresqlBinaries;
  readonly server: TemporaryServer;
  readonly settings: ConnectionSettings;
  readonly store: ObjectStore;
  /** The customers at work, so that an interrupted demo ends them. */
  load: ShopLoad | null;
  restored: TemporaryServer | null;
  keep(): void;
  close(): Promise<void>;
};

export async function buildStage(parentFolder: string | null): Promise<DemoStage> {
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user, {
    prefix: 'walnut-demo-',
    ...(parentFolder === null ? {} : { parent: parentFolder }),
  });
  let isKept = false;
  try {
    const found = await findPostgresqlBinaries(MAJOR);
    const binaries = await stageBinaries(found, { user, cacheFolder: scratch.path });
    const folder = join(scratch.path, 'shop');
    await makeOwnedFolder(folder, user);
    const server = await createServer({
      binaries,
      user,
      folder,
      settings: { max_wal_size: '2GB', shared_buffers: '128MB' },
      initdb: { dataChecksums: true },
    });
    await server.start();
    const settings = readConnectionSettings(server.connectionString(), systemSources());
    const description = { kind: 'filesystem', path: join(scratch.path, 'repository') } as const;
    await createFilesystemFolder(description);
    const store = await openStore(description);
    await createRepository(store, new Date());
    const stage: DemoStage = {
      folder: scratch.path,
      user,
      binaries,
      server,
      settings,
      store,
      load: null,
      restored: null,
      keep: () => {
        isKept = true;
      },
      close: async () => {
        await stage.load?.stop().catch(() => undefined);
        await stage.restored?.dispose();
        await server.dispose();
        await store.close();
        if (isKept) scratch.keep();
        else await scratch.remove();
      },
    };
    return stage;
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

/** Starts the restored cluster beside the old one, which goes on running. */
export async function startRestored(
  stage: DemoStage,
  dataFolder: string,
): Promise<ConnectionSettings> {
  const folder = join(stage.folder, 'restored-server');
  await makeOwnedFolder(folder, stage.user);
  const { binaries, user } = stage;
  const server = await adoptServer({ binaries, user, folder, dataFolder });
  stage.restored = server;
  await server.start();
  return readConnectionSettings(server.connectionString(), systemSources());
}
