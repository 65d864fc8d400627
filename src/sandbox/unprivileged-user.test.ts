import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isRoot, parsePasswd, spawnIdentity, unprivilegedUser } from './unprivileged-user.ts';

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# no entry

broken:x:notanumber:1::/:/bin/sh
nobody:x:65534:65533:nobody:/:/usr/sbin/nologin
+nis
postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash
`;

test('the password file is read with its odd lines left out', () => {
  expect(parsePasswd(PASSWD)).toEqual([
    { name: 'root', uid: 0, gid: 0 },
    { name: 'nobody', uid: 65534, gid: 65533 },
    { name: 'postgres', uid: 101, gid: 104 },
  ]);
});

test('the chosen user is never root, and a child is told to become it only by root', async () => {
  const user = await unprivilegedUser();
  expect(user.uid).toBeGreaterThan(0);
  expect(spawnIdentity(user)).toEqual(isRoot() ? { uid: user.uid, gid: user.gid } : {});
});

test.skipIf(!isRoot())(
  'as root, postgres is taken before nobody, and none is an error',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'walnut-passwd-'));
    try {
      const file = async (text: string): Promise<string> => {
        await writeFile(join(folder, 'passwd'), text);
        return join(folder, 'passwd');
      };
      expect((await unprivilegedUser(await file(PASSWD))).name).toBe('postgres');
      const withoutPostgres = PASSWD.replace(/postgres.*\n/, '');
      expect((await unprivilegedUser(await file(withoutPostgres))).name).toBe('nobody');
      await expect(unprivilegedUser(await file('postgres:x:0:0::/:/bin/sh\n'))).rejects.toThrow(
        'neither postgres nor nobody',
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
