import { execFile, execFileSync } from 'node:child_process';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { onProcessEnd } from '../../src/sandbox/process-end.ts';
import { isRoot, type SystemUser } from '../../src/sandbox/unprivileged-user.ts';

const run = promisify(execFile);

/** A file system of a few kilobytes that belongs to `user`, until it is disposed of. */
export type SmallDisk = AsyncDisposable & {
  readonly path: string;
  readonly resize: (sizeBytes: number) => Promise<void>;
};

/** Mounts a tmpfs on a new folder; answers why not where that is not allowed, as for anyone but root. */
export async function mountSmallDisk(
  path: string,
  { sizeBytes, user }: { readonly sizeBytes: number; readonly user: SystemUser },
): Promise<SmallDisk | string> {
  if (!isRoot()) return 'only root mounts a small disk';
  await mkdir(path, { recursive: true });
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', path]);
  } catch (error) {
    return `no small disk can be mounted here: ${String(error)}`;
  }
  const unmount = ['-l', path];
  const forget = onProcessEnd(() => execFileSync('umount', unmount));
  await chown(path, user.uid, user.gid);
  await chmod(path, 0o755);
  return {
    path,
    resize: async (newBytes) => {
      await run('mount', ['-o', `remount,size=${newBytes}`, path]);
    },
    async [Symbol.asyncDispose]() {
      await run('umount', unmount);
      forget();
    },
  };
}
