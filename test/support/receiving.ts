import { chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WalReceiver, type ReceiverOptions } from '../../src/archive/receiver.ts';
import type { ReceiverEvent } from '../../src/archive/receiver-event.ts';
import { readWalInventory, type WalScope } from '../../src/catalog/wal-inventory.ts';
import { followWal } from '../../src/catalog/wal-path.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { readConnectionSettings } from '../../src/postgres/connection/connection-settings.ts';
import { systemSources } from '../../src/postgres/connection/connection-sources.ts';
import { parseLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { isSegmentName } from '../../src/postgres/segment-name.ts';
import { toTimelineId } from '../../src/postgres/timeline-id.ts';
import { walKeys } from '../../src/repository/layout.ts';
import {
  addIncarnation,
  createRepository,
  nameOfIncarnation,
  presentIncarnation,
} from '../../src/repository/repository.ts';
import { readWalObject } from '../../src/repository/wal-object.ts';
import { makeOwnedFolder } from '../../src/sandbox/cluster-folder.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import { createFilesystemFolder } from '../../src/storage/filesystem/filesystem-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { TestCluster } from './cluster.ts';
import { writeConfig } from './walnut.ts';

export const TEST_SERVER = 'shop';

/** A repository that knows a cluster, for the engine in this process and for the command line. */
export type TestArchive = {
  readonly store: ObjectStore;
  readonly scope: WalScope;
  readonly folder: string;
  /** Path of a walnut.toml. */
  readonly config: string;
  readonly spoolFolder: string;
};

export async function makeTestArchive(
  cluster: TestCluster,
  { toml = '', user = 'replicator' }: { readonly toml?: string; readonly user?: string } = {},
): Promise<TestArchive> {
  const folder = join(cluster.workFolder, 'repository');
  const spoolFolder = join(cluster.workFolder, 'spool');
  await createFilesystemFolder({ kind: 'filesystem', path: folder });
  const store = await openStore({ kind: 'filesystem', path: folder });
  await createRepository(store, new Date());
  const record = await addIncarnation(store, TEST_SERVER, {
    systemIdentifier: await cluster.value(
      'select system_identifier::text from pg_control_system()',
    ),
    majorVersion: cluster.major,
    walSegmentBytes: Number(
      await cluster.value("select setting from pg_settings where name = 'wal_segment_size'"),
    ),
    firstSeenAt: new Date().toISOString(),
  });
  await giveToUser(folder, cluster.server.user);
  await makeOwnedFolder(spoolFolder, cluster.server.user);
  const config = await writeConfig(
    cluster.workFolder,
    `[repository.main]\nurl = "file://${folder}"\n` +
      `[server.${TEST_SERVER}]\nrepository = "main"\nspool_directory = "${spoolFolder}"\n` +
      `connection = "${cluster.connectionString({ user })}"\n${toml}`,
  );
  const scope = { server: TEST_SERVER, incarnation: presentIncarnation(record) };
  return { store, scope, folder, config, spoolFolder };
}

export type TestReceiver = {
  readonly receiver: WalReceiver;
  readonly events: ReceiverEvent[];
  readonly done: Promise<void>;
  stop(): Promise<void>;
};

/** A receiver in this process. */
export function startReceiver(
  cluster: TestCluster,
  archive: TestArchive,
  options: Partial<ReceiverOptions> = {},
): TestReceiver {
  const events: ReceiverEvent[] = [];
  const receiver = new WalReceiver({
    store: archive.store,
    ...archive.scope,
    level: 1,
    connection: readConnectionSettings(
      cluster.connectionString({ user: 'replicator' }),
      systemSources(),
    ),
    slot: 'walnut_shop',
    applicationName: 'walnut',
    spoolFolder: archive.spoolFolder,
    pieceIntervalMs: 200,
    owner: { command: 'test', host: 'here', processId: process.pid, startedAt: '' },
    onEvent: (event) => events.push(event),
    ...options,
  });
  const done = receiver.run();
  done.catch(() => {});
  return {
    receiver,
    events,
    done,
    stop: async () => {
      receiver.stop();
      await done;
    },
  };
}

/** Waits until the archive holds all WAL of a timeline up to `lsn` from the first it holds. */
export async function waitForWal(
  { store, scope }: TestArchive,
  lsn: Lsn | string,
  { timeline = 1, timeoutMs = 30_000 }: { timeline?: number; timeoutMs?: number } = {},
): Promise<void> {
  const wanted = typeof lsn === 'string' ? parseLsn(lsn) : lsn;
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const inventory = await readWalInventory(store, scope);
    const first = [...inventory.timelines.values()][0]?.ranges[0]?.start;
    if (first !== undefined && inventory.histories.has(toTimelineId(timeline))) {
      const path = followWal(inventory, { timeline: toTimelineId(timeline), from: first });
      if (path.end >= wanted) return;
    }
    if (Date.now() > deadline) throw new Error(`no WAL up to ${wanted} within ${timeoutMs} ms`);
    await sleep(50);
  }
}

/** A folder for `archive_command = 'cp %p …'`: the server's own opinion of its WAL. */
export async function makeCopyFolder(
  cluster: TestCluster,
): Promise<{ folder: string; command: string }> {
  const folder = join(cluster.workFolder, 'copies');
  await mkdir(folder, { recursive: true });
  await giveToUser(folder, cluster.server.user);
  await chmod(folder, 0o755);
  return { folder, command: `cp %p ${folder}/%f.tmp && mv ${folder}/%f.tmp ${folder}/%f` };
}

/** What differs between the segments that the server archived by copying and those in the repository, from `first` on. */
export async function differencesFromCopies(
  { store, scope }: TestArchive,
  folder: string,
): Promise<{ readonly compared: number; readonly differences: string[] }> {
  const inventory = await readWalInventory(store, scope);
  const differences: string[] = [];
  let compared = 0;
  for (const name of (await readdir(folder)).filter((entry) => isSegmentName(entry)).toSorted()) {
    const timeline = toTimelineId(Number.parseInt(name.slice(0, 8), 16));
    const incarnation = nameOfIncarnation(scope.incarnation);
    const key = walKeys.segment({ server: scope.server, incarnation, timeline }, name);
    const firstStored = [...inventory.timelines.values()][0]?.runs[0]?.first ?? 0n;
    const perId = BigInt(0x1_0000_0000 / inventory.segmentBytes);
    const number = BigInt(`0x${name.slice(8, 16)}`) * perId + BigInt(`0x${name.slice(16)}`);
    if (number < firstStored) continue;
    compared += 1;
    const stored = await readWalObject(store, key, 'wal-segment').catch(() => null);
    if (stored === null) differences.push(`${name} is not stored`);
    else if (!stored.equals(await readFile(join(folder, name))))
      differences.push(`${name} differs`);
  }
  return { compared, differences };
}
