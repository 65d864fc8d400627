import { pushWalFile } from '../../src/archive/push.ts';
import type { WalScope } from '../../src/catalog/wal-inventory.ts';
import type { MajorVersion } from '../../src/postgres/version.ts';
import {
  addIncarnation,
  createRepository,
  presentIncarnation,
} from '../../src/repository/repository.ts';
import { openMemoryStore } from '../../src/storage/memory/memory-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { expectedWal, fixtureSegment, FIXTURE_SEGMENT_BYTES } from '../fixtures/wal/load.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A repository that knows the server whose WAL the fixtures hold. */
export type FixtureArchive = {
  readonly store: ObjectStore;
  readonly scope: WalScope;
  /** Pushes a file of this content, as `archive_command` would. */
  push(name: string, content: Uint8Array | string): ReturnType<typeof pushWalFile>;
  /** Pushes fixture segments as they are. */
  pushFixtures(names: readonly string[]): Promise<void>;
};

/** In memory unless a store is given. */
export async function makeFixtureArchive(
  major: MajorVersion,
  store: ObjectStore = openMemoryStore(),
): Promise<FixtureArchive> {
  const server = 'shop';
  await createRepository(store, new Date());
  const record = await addIncarnation(store, server, {
    systemIdentifier: expectedWal(major).systemIdentifier,
    majorVersion: major,
    walSegmentBytes: FIXTURE_SEGMENT_BYTES,
    firstSeenAt: '2026-11-23T00:00:00.000Z',
  });
  const push: FixtureArchive['push'] = async (name, content) => {
    const folder = await mkdtemp(join(tmpdir(), 'walnut-push-'));
    try {
      const path = join(folder, name);
      await writeFile(path, content);
      return await pushWalFile({ store, server, path, level: 1 });
    } finally {
      await rm(folder, { recursive: true });
    }
  };
  return {
    store,
    scope: { server, incarnation: presentIncarnation(record) },
    push,
    pushFixtures: async (names) => {
      for (const name of names) await push(name, fixtureSegment(major, name));
    },
  };
}
