import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isReachable, isTraversable, permits } from './reachability.ts';
import { isRoot } from './unprivileged-user.ts';

const user = { name: 'someone', uid: 1001, gid: 2001 };

test.each([
  [{ mode: 0o700, uid: 1001, gid: 2001 }, true],
  [{ mode: 0o077, uid: 1001, gid: 2001 }, false],
  [{ mode: 0o750, uid: 1, gid: 2001 }, true],
  [{ mode: 0o705, uid: 1, gid: 2001 }, false],
  [{ mode: 0o705, uid: 1, gid: 2 }, true],
  [{ mode: 0o754, uid: 1, gid: 2 }, false],
])('the bits that count are those of the first class that fits: %j', (file, answer) => {
  expect(permits(file, user, 5)).toBe(answer);
});

describe.skipIf(!isRoot())('as root, for an ordinary user', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp('/tmp/walnut-reach-');
    await chmod(folder, 0o755);
    await mkdir(join(folder, 'private/inner'), { recursive: true });
    await writeFile(join(folder, 'private/inner/file'), '', { mode: 0o644 });
    await symlink(join(folder, 'private/inner'), join(folder, 'link'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test('a file is reachable until a folder above it is closed', async () => {
    const file = join(folder, 'private/inner/file');
    expect(await isReachable(file, user)).toBe(true);
    await chmod(join(folder, 'private'), 0o700);
    expect(await isReachable(file, user)).toBe(false);
    await chmod(join(folder, 'private'), 0o711);
    expect(await isReachable(file, user)).toBe(true);
  });

  test('a link does not hide that its target is closed', async () => {
    await chmod(join(folder, 'private'), 0o700);
    expect(await isTraversable(join(folder, 'link'), user)).toBe(false);
    expect(await isReachable(join(folder, 'link/file'), user)).toBe(false);
  });

  test('what does not exist is not reachable', async () => {
    expect(await isReachable(join(folder, 'nothing'), user)).toBe(false);
  });
});
