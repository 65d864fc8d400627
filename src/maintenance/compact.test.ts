import { beforeEach, describe, expect, test } from 'vitest';
import { drawSeed, seededRandom } from '../../test/support/random.ts';
import {
  readContents,
  SHARING_SERVER as SERVER,
  storeSharingBackups,
  type Contents,
} from '../../test/support/sharing-backups.ts';
import { readKnownDamage } from '../catalog/known-damage.ts';
import { withReader } from '../catalog/readers.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys } from '../repository/layout.ts';
import { loadManifest } from '../repository/manifest.ts';
import { readPackIndex } from '../repository/pack-reader.ts';
import { createRepository } from '../repository/repository.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { unreliable, type Fault } from '../storage/unreliable.ts';
import { compact, type CompactOutcome } from './compact.ts';
import { deleteBackups } from './delete-backups.ts';
import { verify } from './verify.ts';

const signal = new AbortController().signal;
const seed = drawSeed();

type Stage = { readonly store: ObjectStore; readonly contents: Map<BackupId, Contents> };

/** A repository whose older backups are deleted, so that the packs of the others are full of holes. */
async function makeStage(name: string): Promise<Stage> {
  const store = openMemoryStore();
  await createRepository(store, new Date());
  const contents = await storeSharingBackups(store, seededRandom(`${seed}-${name}`), 7);
  const ids = [...contents.keys()];
  const backups = [ids[0], ids[1], ids[3]].filter((id) => id !== undefined);
  const force = { includesKept: false, includesLast: true };
  const options = { store, server: SERVER, backups, now: new Date(), dryRun: false, ...force };
  await deleteBackups(options, { planned: () => {}, deleted: () => {} }, signal);
  for (const id of backups) contents.delete(id);
  return { store, contents };
}

async function run(store: ObjectStore, thresholdPercent = 90): Promise<CompactOutcome> {
  const options = { store, server: SERVER, thresholdPercent, now: new Date(), level: 1 };
  const progress = { planned: () => {}, rewritten: () => {} };
  return compact({ ...options, dryRun: false }, progress, signal);
}

async function requireWhole({ store, contents }: Stage): Promise<void> {
  for (const [id, expected] of contents) {
    const found = await readContents(store, id);
    expect([...(found ?? new Map<string, Buffer>()).keys()].toSorted()).toEqual(
      [...expected.keys()].toSorted(),
    );
    for (const [path, content] of expected) {
      expect([id, path, found?.get(path)?.equals(content)]).toEqual([id, path, true]);
    }
  }
}

async function storedBytes(store: ObjectStore): Promise<number> {
  let bytes = 0;
  for await (const { sizeBytes } of store.list(backupKeys.all(SERVER))) bytes += sizeBytes;
  return bytes;
}

let stage: Stage;

describe('compaction', () => {
  beforeEach(async () => {
    stage = await makeStage('stage');
  });

  test('leaves every backup as it was, in less space', async () => {
    const { store } = stage;
    const before = await storedBytes(store);
    const { packs, revisions, freedBytes, writtenBytes } = await run(store);
    expect(packs.length).toBeGreaterThan(0);
    expect(revisions.size).toBeGreaterThan(0);
    await requireWhole(stage);
    expect(freedBytes).toBeGreaterThan(writtenBytes);
    expect(await storedBytes(store)).toBeLessThan(before);
    const options = {
      store,
      servers: [SERVER],
      backup: null,
      samplePercent: null,
      jobs: 1,
      now: new Date(),
    };
    const watch = { planned: () => {}, phase: () => {}, checked: () => {}, damageFound: () => {} };
    const { damaged } = await verify(options, watch, signal);
    expect(damaged.filter(({ key }) => key.startsWith(backupKeys.all(SERVER)))).toEqual([]);
  });

  test('deletes the packs and revisions it replaces, and finds nothing to do the next time', async () => {
    const { store, contents } = stage;
    const { packs } = await run(store);
    for (const { key } of packs) expect([key, await store.stat(key)]).toEqual([key, null]);
    for (const id of contents.keys()) {
      const names = await store.listFolder(backupKeys.folder(SERVER, id));
      expect(names.filter((name) => name.startsWith('manifest-')).length).toBe(1);
      const { manifest } = (await loadManifest(store, SERVER, id)) ?? {};
      for (const { key, storedBytes: bytes, plainBytes } of manifest?.packs ?? []) {
        const { frames, sizeBytes } = await readPackIndex(store, key);
        expect(sizeBytes).toBe(bytes);
        expect(frames.reduce((sum, frame) => sum + frame.plainBytes, 0)).toBe(plainBytes);
      }
    }
    const again = await run(store);
    expect(again.packs).toEqual([]);
    expect([...again.revisions]).toEqual([]);
  });

  test('plans and changes nothing with --dry-run', async () => {
    const { store } = stage;
    const before = await storedBytes(store);
    const options = { store, server: SERVER, thresholdPercent: 90, now: new Date(), level: 1 };
    const progress = { planned: () => {}, rewritten: () => {} };
    const { packs } = await compact({ ...options, dryRun: true }, progress, signal);
    expect(packs.length).toBeGreaterThan(0);
    expect(await storedBytes(store)).toBe(before);
  });

  test('does not move a frame that does not verify: the pack stays, and its damage is known', async () => {
    const { store } = stage;
    const options = { store, server: SERVER, thresholdPercent: 90, now: new Date(), level: 1 };
    const progress = { planned: () => {}, rewritten: () => {} };
    const planned = await compact({ ...options, dryRun: true }, progress, signal);
    const key = planned.packs.at(-1)?.key ?? '';
    const content = await store.get(key, 2 ** 30);
    for (const { offset } of (await readPackIndex(store, key)).frames) {
      content.writeUInt8(content.readUInt8(offset + 64) ^ 1, offset + 64);
    }
    await store.replace(key, content);
    const { damaged } = await run(store);
    expect(damaged.map((pack) => pack.key)).toEqual([key]);
    expect(damaged[0]?.backups.length).toBeGreaterThan(0);
    expect(await store.stat(key)).not.toBeNull();
    expect([...(await readKnownDamage(store, SERVER)).keys()]).toEqual([key]);
    const again = await run(store);
    expect(again.packs.find((pack) => pack.key === key)?.heldBack).toBe('it was found damaged');
  });

  test('leaves packs alone that are being read', async () => {
    const { store, contents } = stage;
    const backups = [...contents.keys()];
    const reading = { server: SERVER, backups, command: 'restore' };
    const { packs, revisions } = await withReader(store, reading, async () => run(store));
    expect(packs.every(({ heldBack }) => heldBack === 'it is being read')).toBe(true);
    expect(revisions.size).toBe(0);
  });

  test('refuses while the needs of a backup are not known', async () => {
    const { store, contents } = stage;
    const [id] = contents.keys();
    if (id === undefined) throw new Error('there is a backup');
    await store.replace(backupKeys.manifest(SERVER, id, 1), Buffer.from('cut'));
    await expect(run(store)).rejects.toMatchObject({ code: 'object-damaged' });
  });

  const OPERATIONS = ['beginWrite', 'commit', 'put', 'replace', 'delete'] as const;
  test.each(OPERATIONS)(
    `is finished by the next run wherever %s fails, and every backup is whole in between (seed ${seed})`,
    async (operation) => {
      for (const call of [1, 2, 3, 5, 8]) {
        for (const moment of ['before', 'after'] as const) {
          const interrupted = await makeStage(`${operation}-${call}-${moment}`);
          const error = new Error('killed');
          const fault: Fault = { operation, call, moment, error };
          await run(unreliable(interrupted.store, [fault])).catch((reason: unknown) => {
            if (reason !== error) throw reason;
          });
          await requireWhole(interrupted);
          await run(interrupted.store);
          await requireWhole(interrupted);
          expect((await run(interrupted.store)).packs).toEqual([]);
        }
      }
    },
    120_000,
  );
});
