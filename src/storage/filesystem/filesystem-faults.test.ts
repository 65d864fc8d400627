import type * as FileSystem from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { LeaseOwner, ObjectStore } from '../object-store.ts';
import { openFilesystemStore } from './filesystem-store.ts';

type Fault = { readonly error?: string; readonly bytes?: number };

/** What the file system was asked, in order, and what it is to do instead: the calls of one name meet its faults in turn. */
const { log, faults } = vi.hoisted(() => ({
  log: [] as string[],
  faults: new Map<string, Fault[]>(),
}));

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof FileSystem>();
  const meet = (call: string, path: string): Fault => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    log.push(`${call} ${/-[0-9]+-[0-9a-f]{16}$/.test(name) ? 'T' : name}`);
    const fault = faults.get(call)?.shift() ?? {};
    if (fault.error === undefined) return fault;
    const syscall = call === 'sync' ? 'fsync' : call;
    throw Object.assign(new Error(`${fault.error}: ${syscall}`), { code: fault.error, syscall });
  };
  const open = async (path: string, flags: string, mode?: number): Promise<FileHandle> => {
    meet('open', path);
    const handle = await real.open(path, flags, mode);
    const sync = handle.sync.bind(handle);
    const write = handle.write.bind(handle);
    return Object.assign(handle, {
      sync: async () => {
        meet('sync', path);
        await sync();
      },
      write: async (part: Uint8Array, ...[offset, length, position]: number[]) => {
        const { bytes = length ?? 0 } = meet('write', path);
        return write(part, offset, Math.min(bytes, length ?? 0), position);
      },
    });
  };
  return {
    ...real,
    open,
    link: async (from: string, to: string) => {
      meet('link', to);
      await real.link(from, to);
    },
    mkdir: async (path: string, options: { mode: number }) => {
      meet('mkdir', path);
      return real.mkdir(path, options);
    },
    rm: async (path: string, options?: { force: boolean }) => {
      meet('rm', path);
      await real.rm(path, options);
    },
  };
});

let path: string;
let store: ObjectStore;

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'walnut-faults-'));
  path = join(folder, 'repository');
  await mkdir(path, { mode: 0o700 });
  store = await openFilesystemStore({ kind: 'filesystem', path });
  await store.put('known/first', Buffer.from('x'));
  log.length = 0;
  faults.clear();
  onTestFinished(async () => {
    faults.clear();
    await rm(folder, { recursive: true, force: true });
  });
});

const temporaries = async (): Promise<string[]> => readdir(join(path, 'tmp'));

describe('the order on the disk', () => {
  test('content is synced before the link, the folder after it', async () => {
    await store.put('known/second', Buffer.from('xy'));
    expect(log).toEqual([
      'open T',
      'write T',
      'sync T',
      'link second',
      'rm T',
      'open known',
      'sync known',
    ]);
  });

  test('new folders are synced up to the repository folder', async () => {
    await store.put('a/b/object', Buffer.from('x'));
    expect(log.filter((line) => !line.startsWith('open'))).toEqual([
      'write T',
      'sync T',
      'link object',
      'mkdir a',
      'mkdir b',
      'link object',
      'rm T',
      'sync b',
      'sync a',
      `sync ${basename(path)}`,
    ]);
    log.length = 0;
    await store.put('a/b/other', Buffer.from('x'));
    expect(log.filter((line) => line.startsWith('sync'))).toEqual(['sync T', 'sync b']);
  });

  test("a folder that another process made is synced all the same, in case that one didn't yet", async () => {
    await mkdir(join(path, 'theirs'));
    await store.put('theirs/object', Buffer.from('x'));
    expect(log.filter((line) => line.startsWith('sync'))).toEqual([
      'sync T',
      'sync theirs',
      `sync ${basename(path)}`,
    ]);
  });

  test('who finds the key taken syncs the folder too, before relying on what is there', async () => {
    const put = store.put('known/first', Buffer.from('x'));
    await expect(put).rejects.toMatchObject({ code: 'object-exists' });
    expect(log.slice(-3)).toEqual(['rm T', 'open known', 'sync known']);
    expect(await temporaries()).toEqual([]);
  });

  test('a deletion is synced, also when somebody else was faster', async () => {
    await store.put('known/second', Buffer.from('x'));
    for (const _ of ['here', 'gone']) {
      log.length = 0;
      await store.delete('known/second');
      expect(log).toEqual(['rm second', 'open known', 'sync known']);
    }
  });
});

describe('failing disks', () => {
  test.each([
    ['ENOSPC', 'disk-full', 'no space left'],
    ['EDQUOT', 'disk-full', 'quota'],
    ['EACCES', 'permission', 'permission denied'],
    ['EPERM', 'permission', 'not permitted'],
    ['EROFS', 'storage', 'read-only'],
    ['EIO', 'storage', 'input/output error'],
    ['EMFILE', 'storage', 'too many open files'],
    ['EXDEV', 'storage', 'another file system'],
  ])('%s at any step is %s, and leaves nothing behind', async (error, code, words) => {
    for (const step of ['open', 'write', 'sync', 'link']) {
      faults.set(step, [{ error }, { error }]);
      const put = store.put('known/second', Buffer.from('x'));
      await expect(put).rejects.toMatchObject({
        code,
        message: expect.stringMatching(`^write object known/second in ${path}: .*${words}`),
        hint: expect.stringContaining('.'),
        cause: { code: error },
      });
      faults.clear();
      expect(await temporaries()).toEqual([]);
      expect(await store.stat('known/second')).toBeNull();
    }
  });

  test('a full disk is reported with the free bytes', async () => {
    faults.set('write', [{ error: 'ENOSPC' }]);
    const put = store.put('known/second', Buffer.from('x'));
    await expect(put).rejects.toMatchObject({
      hint: expect.stringMatching(/\(\d+ bytes are free on the file system of/),
      details: { path, freeBytes: expect.any(Number) },
    });
  });

  test('after a failed sync the content is written anew into another file, once', async () => {
    faults.set('sync', [{ error: 'EIO' }]);
    await store.put('known/second', Buffer.from('xy'));
    expect(log.slice(0, 9)).toEqual([
      'open T',
      'write T',
      'sync T',
      'rm T',
      'open T',
      'write T',
      'sync T',
      'link second',
      'rm T',
    ]);
    expect(await store.get('known/second', 9)).toEqual(Buffer.from('xy'));
  });

  test('a writer whose content could not be synced cannot be committed again', async () => {
    const writer = await store.beginWrite('known/second');
    await writer.writePart(Buffer.from('xy'));
    faults.set('sync', [{ error: 'EIO' }]);
    await expect(writer.commit()).rejects.toMatchObject({ code: 'storage' });
    await expect(writer.commit()).rejects.toThrow('is closed');
    await writer.abort();
    expect(await store.stat('known/second')).toBeNull();
    expect(await temporaries()).toEqual([]);
  });

  test('short writes are continued where they stopped', async () => {
    faults.set('write', [{ bytes: 3 }, { bytes: 1 }, { bytes: 2 }]);
    const writer = await store.beginWrite('known/second');
    await writer.writePart(Buffer.from('0123456789'));
    await writer.writePart(Buffer.from('abc'));
    await writer.commit();
    expect((await store.get('known/second', 99)).toString()).toBe('0123456789abc');
    expect(log.filter((line) => line === 'write T')).toHaveLength(5);
  });

  test('a full disk does not keep anyone from a lease: expire needs one to make room', async () => {
    const owner: LeaseOwner = { command: 'walnut', host: 'h', processId: 1, startedAt: 'now' };
    await (await store.acquireLease('known/lease', owner)).release();
    faults.set('write', [{ error: 'ENOSPC' }]);
    const lease = await store.acquireLease('known/lease', owner);
    expect(await lease.isHeld()).toBe(true);
    await expect(store.acquireLease('known/lease', owner)).rejects.toMatchObject({
      code: 'locked',
      message: expect.stringContaining('another process'),
    });
    await lease.release();
  });
});
