import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { describeObjectStore } from '../conformance/conformance.test-suite.ts';
import type { LeaseOwner, ObjectStore } from '../object-store.ts';
import { createFilesystemFolder, openFilesystemStore } from './filesystem-store.ts';

describeObjectStore('the filesystem store', {
  isShared: true,
  open: async () => {
    const path = await mkdtemp(join(tmpdir(), 'walnut-store-'));
    const store = await openFilesystemStore({ kind: 'filesystem', path });
    return {
      store,
      remove: async () => {
        await store.close();
        await rm(path, { recursive: true });
      },
    };
  },
});

const X = Buffer.from('x');
const OWNER: LeaseOwner = {
  command: 'walnut backup shop',
  host: 'db1.example',
  processId: 4711,
  startedAt: '2026-11-23T00:00:00Z',
};

let base: string;
let path: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'walnut-store-'));
  path = join(base, 'repository');
  const folder = base;
  onTestFinished(async () => rm(folder, { recursive: true, force: true }));
});

async function openNew(): Promise<ObjectStore> {
  await createFilesystemFolder({ kind: 'filesystem', path });
  return openFilesystemStore({ kind: 'filesystem', path });
}

async function modeOf(name: string): Promise<number> {
  return (await lstat(join(path, name))).mode & 0o777;
}

describe('a repository folder', () => {
  test('is made for its owner alone, with the folders above it, and may exist already', async () => {
    path = join(base, 'a', 'b', 'repository');
    await createFilesystemFolder({ kind: 'filesystem', path });
    expect(await modeOf('.')).toBe(0o700);
    await chmod(path, 0o750);
    await createFilesystemFolder({ kind: 'filesystem', path });
    expect(await modeOf('.')).toBe(0o750);
  });

  test('cannot be made where a file lies, nor below one', async () => {
    await writeFile(path, 'x');
    const at = createFilesystemFolder({ kind: 'filesystem', path });
    await expect(at).rejects.toMatchObject({ code: 'storage' });
    const below = createFilesystemFolder({ kind: 'filesystem', path: join(path, 'below') });
    await expect(below).rejects.toMatchObject({ code: 'storage' });
  });

  test('that is not there is repository-missing, and a file in its place is no repository', async () => {
    const missing = openFilesystemStore({ kind: 'filesystem', path });
    await expect(missing).rejects.toMatchObject({ code: 'repository-missing' });
    await writeFile(path, 'x');
    const file = openFilesystemStore({ kind: 'filesystem', path });
    await expect(file).rejects.toMatchObject({ code: 'storage' });
  });

  test.each(['removed', 'replaced by an empty folder, as after umount'])(
    'that is %s while open is repository-missing to every operation, and is not made anew',
    async (how) => {
      const store = await openNew();
      await store.put('a/1', X);
      await rename(path, join(base, 'moved'));
      if (how !== 'removed') await mkdir(path);
      const operations = [
        async () => store.put('a/2', X),
        async () => store.replace('a/1', X),
        async () => store.read('a/1', 0, Buffer.alloc(1)),
        async () => store.get('a/1', 1),
        async () => store.stat('a/1'),
        async () => store.listFolder('a/'),
        async () => store.list('a/')[Symbol.asyncIterator]().next(),
        async () => store.delete('a/1'),
        async () => store.acquireLease('a/lease', OWNER),
      ];
      for (const operation of operations) {
        await expect(operation()).rejects.toMatchObject({ code: 'repository-missing' });
      }
      expect(await readdir(base)).toEqual(how === 'removed' ? ['moved'] : ['moved', 'repository']);
      await rm(path, { recursive: true, force: true });
      await rename(join(base, 'moved'), path);
      await store.put('a/2', X);
      expect(await store.listFolder('a/')).toEqual(['1', '2']);
    },
  );

  test('holds nothing but objects once they are stored, and nothing once they are deleted', async () => {
    const store = await openNew();
    await store.put('shop/wal/1/a', X);
    await (await store.beginWrite('shop/wal/1/b')).abort();
    expect(await readdir(join(path, 'tmp'))).toEqual([]);
    await store.delete('shop/wal/1/a');
    expect(await readdir(path)).toEqual(['tmp']);
  });
});

describe('access', () => {
  test.each([
    [0o700, 0o600, 0o700],
    [0o750, 0o640, 0o750],
    [0o755, 0o640, 0o750],
  ])(
    'in a repository folder of mode %o objects have %o and folders %o',
    async (root, file, folder) => {
      await openNew();
      await chmod(path, root);
      const store = await openFilesystemStore({ kind: 'filesystem', path });
      await store.put('a/b', X);
      // The umask can only take away: 077 leaves the owner alone.
      const kept = 0o777 & ~process.umask();
      expect(await modeOf('a/b')).toBe(file & kept);
      expect(await modeOf('a')).toBe(folder & kept);
    },
  );
});

describe('foreign things in the folder', () => {
  test('names that no key can have are not listed', async () => {
    const store = await openNew();
    await store.put('a/1', X);
    for (const name of ['lost+found', '.snapshot', 'a/ b', 'a/.nfs0001']) {
      await mkdir(join(path, name));
    }
    expect(await store.listFolder('')).toEqual(['a/']);
    expect(await store.listFolder('a/')).toEqual(['1']);
  });

  test('a symbolic link is an error of its name, because hiding or following it could lose backups', async () => {
    const store = await openNew();
    await store.put('a/1', X);
    await symlink('..', join(path, 'a', 'up'));
    await expect(store.listFolder('a/')).rejects.toMatchObject({
      code: 'storage',
      message: expect.stringContaining('a/up'),
    });
  });

  test('the repository folder itself may be a link', async () => {
    await mkdir(path);
    await symlink(path, join(base, 'link'));
    const store = await openFilesystemStore({ kind: 'filesystem', path: join(base, 'link') });
    await store.put('a', X);
    expect(await readdir(path)).toEqual(['a', 'tmp']);
  });
});

describe('a lease on a disk', () => {
  const LOCK = 'shop/lease/.backup.lock';

  test('is lost when its lock file is deleted, and again when another one takes its place', async () => {
    const store = await openNew();
    const lost = await store.acquireLease('shop/lease/backup', OWNER);
    await rm(join(path, LOCK));
    expect(await lost.isHeld()).toBe(false);
    const taken = await store.acquireLease('shop/lease/backup', OWNER);
    expect(await lost.isHeld()).toBe(false);
    await lost.release();
    expect(await store.stat('shop/lease/backup')).not.toBeNull();
    expect(await taken.isHeld()).toBe(true);
    await taken.release();
    await store.close();
  });

  test('must be released before the store is closed', async () => {
    const store = await openNew();
    const lease = await store.acquireLease('shop/lease/backup', OWNER);
    await expect(store.close()).rejects.toThrow('released before');
    await lease.release();
    await store.close();
  });

  test('writes nothing into its lock file', async () => {
    const store = await openNew();
    const lease = await store.acquireLease('shop/lease/backup', OWNER);
    expect((await readdir(join(path, 'shop/lease'))).toSorted()).toEqual([
      '.backup.lock',
      'backup',
    ]);
    await lease.release();
    expect((await lstat(join(path, LOCK))).size).toBe(0);
  });

  test('with a damaged lock file says so instead of looking free or taken', async () => {
    const store = await openNew();
    await (await store.acquireLease('shop/lease/backup', OWNER)).release();
    await writeFile(join(path, LOCK), 'no database at all, '.repeat(100));
    const lease = store.acquireLease('shop/lease/backup', OWNER);
    await expect(lease).rejects.toMatchObject({ code: 'storage' });
  });

  test('does not name the dead process that held it before, whose words are still there', async () => {
    const store = await openNew();
    const lease = await store.acquireLease('shop/lease/backup', OWNER);
    const dead = { ...OWNER, host: hostname(), processId: spawnSync(process.execPath, ['-v']).pid };
    await store.replace('shop/lease/backup', Buffer.from(JSON.stringify(dead)));
    await expect(store.acquireLease('shop/lease/backup', OWNER)).rejects.toMatchObject({
      code: 'locked',
      details: { owner: null },
    });
    await lease.release();
  });

  test.skipIf(process.getuid?.() === 0)(
    'whose lock file this user cannot write is refused, although SQLite would open it (root can write it)',
    async () => {
      const store = await openNew();
      await (await store.acquireLease('shop/lease/backup', OWNER)).release();
      await chmod(join(path, LOCK), 0o400);
      const lease = store.acquireLease('shop/lease/backup', OWNER);
      await expect(lease).rejects.toMatchObject({ code: 'permission' });
    },
  );

  test('whose owner left unreadable words names nobody', async () => {
    const store = await openNew();
    const lease = await store.acquireLease('shop/lease/backup', OWNER);
    await store.replace('shop/lease/backup', Buffer.from('{"command": 1}'));
    await expect(store.acquireLease('shop/lease/backup', OWNER)).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining('another process holds it'),
    });
    await lease.release();
  });
});

describe('a full disk', () => {
  // Root in a container may not mount either, so the mount itself is what decides.
  test('is named with its free bytes, leaves nothing, and takes objects again when there is room', async ({
    skip,
  }) => {
    await mkdir(path);
    const { status } = spawnSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path]);
    skip(status !== 0, 'mounting a small tmpfs needs root');
    const mounted = path;
    onTestFinished(() => {
      spawnSync('/bin/umount', ['--lazy', mounted]);
    });
    const store = await openFilesystemStore({ kind: 'filesystem', path });
    await store.put('pack/1', Buffer.alloc(600_000, 1));
    const writer = await store.beginWrite('pack/2');
    await writer.writePart(Buffer.alloc(300_000, 2));
    await expect(writer.writePart(Buffer.alloc(300_000, 2))).rejects.toMatchObject({
      code: 'disk-full',
      message: expect.stringContaining(path),
      hint: expect.stringMatching(/\d+ bytes are free/),
    });
    expect(await readdir(join(path, 'tmp'))).toEqual([]);
    expect(await store.listFolder('pack/')).toEqual(['1']);
    await expect(store.put('pack/2', Buffer.alloc(600_000, 2))).rejects.toMatchObject({
      code: 'disk-full',
    });
    const lease = await store.acquireLease('lease', OWNER);
    await store.delete('pack/1');
    await lease.release();
    await store.put('pack/2', Buffer.alloc(600_000, 2));
    expect(await store.freeBytes()).toBeLessThan(450_000);
  });
});
