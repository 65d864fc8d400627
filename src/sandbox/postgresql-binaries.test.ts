import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SUPPORTED_MAJORS } from '../postgres/version.ts';
import { findPostgresqlBinaries, parsePostgresVersion } from './postgresql-binaries.ts';
import { stageBinaries } from './staged-binaries.ts';
import { isRoot, unprivilegedUser } from './unprivileged-user.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp('/tmp/walnut-binaries-');
  await chmod(folder, 0o755);
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Something that answers like a PostgreSQL installation. */
async function makeInstallation(path: string, version: string, mode = 0o700): Promise<void> {
  for (const part of ['bin', 'lib', 'share']) await mkdir(join(path, part), { recursive: true });
  for (const name of ['postgres', 'initdb', 'pg_ctl']) {
    const script = `#!/bin/sh\necho '${name} (PostgreSQL) ${version}'\n`;
    await writeFile(join(path, 'bin', name), script, { mode });
  }
  await writeFile(join(path, 'lib/libpq.so.5.18'), 'library', { mode: 0o600 });
  await writeFile(join(path, 'lib/libpq.a'), 'static', { mode: 0o600 });
  await writeFile(join(path, 'share/postgres.bki'), 'share', { mode: 0o600 });
}

test.each([
  ['postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n', '15.14', 15],
  ['postgres (PostgreSQL) 18.4\n', '18.4', 18],
  ['postgres (PostgreSQL) 19beta3', '19beta3', 19],
])('the version is read from %j', (text, version, major) => {
  expect(parsePostgresVersion(text)).toEqual({ version, major });
});

test('something that is not PostgreSQL is refused', () => {
  expect(() => parsePostgresVersion('mysqld 8.0')).toThrow("not PostgreSQL's");
});

describe('finding server programs', () => {
  test.each(SUPPORTED_MAJORS)('the package of PostgreSQL %i is found', async (major) => {
    const found = await findPostgresqlBinaries(major, { sources: ['package'] });
    expect(found).toMatchObject({ majorVersion: major, source: 'package' });
    expect(found.version).toMatch(new RegExp(`^${major}\\.\\d+$`));
  });

  test("Debian's folders are searched by version, and a package comes first unless told otherwise", async () => {
    await makeInstallation(join(folder, '17'), '17.99');
    const system = { systemRoot: folder } as const;
    expect(
      await findPostgresqlBinaries(17, { ...system, sources: ['system', 'package'] }),
    ).toMatchObject({ version: '17.99', source: 'system', binFolder: join(folder, '17/bin') });
    expect(await findPostgresqlBinaries(17, system)).toMatchObject({ source: 'package' });
  });

  test('a named folder is the only place, as the root or as its bin', async () => {
    await makeInstallation(folder, '16.1');
    for (const named of [folder, join(folder, 'bin')]) {
      expect(await findPostgresqlBinaries(16, { folder: named })).toMatchObject({
        version: '16.1',
        source: 'folder',
        binFolder: join(folder, 'bin'),
      });
    }
    await expect(findPostgresqlBinaries(17, { folder })).rejects.toThrow(
      'they are PostgreSQL 16.1, not 17',
    );
    await expect(findPostgresqlBinaries(17, { folder: join(folder, 'lib') })).rejects.toThrow(
      `no server programs in ${join(folder, 'lib')}`,
    );
  });
});

describe('staging', () => {
  const links = JSON.stringify([
    { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' },
    { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so' },
  ]);

  test('missing library links are made in a copy, once, and the installation stays as it is', async () => {
    const native = join(folder, 'package/native');
    await makeInstallation(native, '18.4');
    await writeFile(join(native, 'pg-symlinks.json'), links);
    await writeFile(join(folder, 'package/package.json'), '{"version":"18.4.0-beta.17"}');
    await symlink('libpq.so.5.18', join(native, 'lib/libpq.so'));
    const found = await findPostgresqlBinaries(18, { folder: native });
    expect(found).toMatchObject({ version: '18.4', missingLinks: [{ path: 'lib/libpq.so.5' }] });
    await mkdir(join(folder, 'cache'));
    const options = { user: await unprivilegedUser(), cacheFolder: join(folder, 'cache') };
    const staged = await Promise.all(
      [1, 2, 3, 4].map(async () => await stageBinaries(found, options)),
    );
    const root = staged[0]?.relocatableRoot ?? '';
    expect(new Set(staged.map(({ binFolder }) => binFolder))).toEqual(new Set([join(root, 'bin')]));
    expect(readdirSync(options.cacheFolder)).toEqual([root.slice(options.cacheFolder.length + 1)]);
    expect(await readlink(join(root, 'lib/libpq.so.5'))).toBe('libpq.so.5.18');
    expect(await readFile(join(root, 'lib/libpq.so'), 'utf8')).toBe('library');
    expect(readdirSync(join(root, 'lib')).toSorted()).toEqual([
      'libpq.so',
      'libpq.so.5',
      'libpq.so.5.18',
    ]);
    expect(readdirSync(join(native, 'lib'))).not.toContain('libpq.so.5');
    expect((await stat(join(root, 'bin/postgres'))).mode & 0o777).toBe(0o755);
    expect((await stat(join(root, 'share/postgres.bki'))).mode & 0o777).toBe(0o644);
  });

  test('programs that the user reaches are used where they stand', async () => {
    await makeInstallation(join(folder, 'open'), '18.4', 0o755);
    const found = await findPostgresqlBinaries(18, { folder: join(folder, 'open') });
    const options = { user: await unprivilegedUser(), cacheFolder: join(folder, 'cache') };
    expect(await stageBinaries(found, options)).toBe(found);
  });

  test.skipIf(!isRoot())(
    'programs in parts that cannot move together are refused with a hint',
    async () => {
      await makeInstallation(join(folder, 'private'), '15.2');
      await rm(join(folder, 'private/share'), { recursive: true });
      await chmod(join(folder, 'private'), 0o700);
      const found = await findPostgresqlBinaries(15, { folder: join(folder, 'private') });
      const options = { user: await unprivilegedUser(), cacheFolder: folder };
      await expect(stageBinaries(found, options)).rejects.toMatchObject({
        code: 'permission',
        hint: 'Give every folder above them mode 755.',
      });
    },
  );
});
