import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { giveToUser, makeScratchFolder } from './scratch-folder.ts';
import { isRoot, unprivilegedUser } from './unprivileged-user.ts';

test('a scratch folder can be passed through by others and is removed with folders that are closed', async () => {
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user);
  expect((await stat(scratch.path)).mode & 0o777).toBe(0o711);
  const closed = join(scratch.path, 'closed');
  await mkdir(join(closed, 'inner'), { recursive: true });
  await writeFile(join(closed, 'inner/file'), 'x');
  if (isRoot()) await chown(closed, user.uid, user.gid);
  await chmod(join(closed, 'inner'), 0o000);
  await chmod(closed, 0o500);
  await scratch.remove();
  await scratch.remove();
  expect(existsSync(scratch.path)).toBe(false);
});

test.each([
  ['ends', 'process.exit(3)'],
  ['throws', 'throw new Error("stop")'],
  ['is interrupted', 'process.kill(process.pid, "SIGINT"); setTimeout(() => {}, 5000)'],
  ['is terminated', 'process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 5000)'],
])('a scratch folder does not survive when its process %s', (_, end) => {
  const module = new URL('./scratch-folder.ts', import.meta.url).href;
  const userModule = new URL('./unprivileged-user.ts', import.meta.url).href;
  const script = `
    const { makeScratchFolder } = await import(${JSON.stringify(module)});
    const { unprivilegedUser } = await import(${JSON.stringify(userModule)});
    const { path } = await makeScratchFolder(await unprivilegedUser());
    require('node:fs').writeSync(1, path);
    ${end};`;
  let path = '';
  try {
    execFileSync(process.execPath, ['-e', `(async () => {${script}})()`], { stdio: 'pipe' });
  } catch (error) {
    path = String((error as { stdout: Buffer }).stdout);
  }
  expect(path).toMatch(/walnut-/);
  expect(existsSync(path)).toBe(false);
});

test.skipIf(!isRoot())('a private parent is refused by name', async () => {
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user);
  await mkdir(join(scratch.path, 'private'), { mode: 0o700 });
  await expect(makeScratchFolder(user, { parent: join(scratch.path, 'private') })).rejects.toThrow(
    `user ${user.name} cannot pass through it`,
  );
  await scratch.remove();
});

test.skipIf(!isRoot())(
  'a cluster is handed over with its tablespaces and nothing beyond',
  async () => {
    const user = await unprivilegedUser();
    const scratch = await makeScratchFolder(user);
    const [data, space, other] = ['data', 'space', 'other'].map((name) => join(scratch.path, name));
    await mkdir(join(data ?? '', 'pg_tblspc'), { recursive: true });
    for (const folder of [space, other]) {
      await mkdir(folder ?? '');
      await writeFile(join(folder ?? '', 'file'), '');
    }
    await symlink('../../space', join(data ?? '', 'pg_tblspc/16384'));
    await symlink(other ?? '', join(data ?? '', 'elsewhere'));
    await giveToUser(data ?? '', user);
    const owner = async (path: string): Promise<number> =>
      (await lstat(join(scratch.path, path))).uid;
    expect(await owner('data/pg_tblspc/16384')).toBe(user.uid);
    expect(await owner('space/file')).toBe(user.uid);
    expect(await owner('data/elsewhere')).toBe(user.uid);
    expect(await owner('other/file')).toBe(0);
    await scratch.remove();
  },
);
