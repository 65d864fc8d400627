import { createHash, randomBytes } from 'node:crypto';
import { chmod, cp, lstat, mkdir, readdir, rename, stat, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import type { PostgresqlBinaries } from './postgresql-binaries.ts';
import { isReachable } from './reachability.ts';
import { removeFolder } from './scratch-folder.ts';
import type { SystemUser } from './unprivileged-user.ts';

/** Static libraries and headers: a third of a package, and no server reads them. */
const NOT_NEEDED = /\.a$|\/pkgconfig$|\/include$/;

/**
 * Server programs that `user` can run: the given ones where they stand if it reaches them, else a copy inside
 * `cacheFolder` (about 50 MB, made once; any number of processes may ask for the same copy at the same time).
 * A copy is also made when library links are missing, so that an installation is never changed.
 * `cacheFolder` must be one that `user` can pass through.
 */
export async function stageBinaries(
  binaries: PostgresqlBinaries,
  options: { readonly user: SystemUser; readonly cacheFolder: string },
): Promise<PostgresqlBinaries> {
  if (binaries.missingLinks.length === 0 && (await canRun(binaries, options.user))) return binaries;
  const root = binaries.relocatableRoot;
  if (root === undefined) {
    throw new WalnutError(
      'permission',
      `run the programs in ${binaries.binFolder}: user ${options.user.name} cannot reach them`,
      { hint: 'Give every folder above them mode 755.' },
    );
  }
  const copy = join(options.cacheFolder, `postgresql-${binaries.version}-${shortHash(root)}`);
  if (!(await exists(copy))) await copyOnce(binaries, root, copy);
  const staged: PostgresqlBinaries = {
    ...binaries,
    binFolder: join(copy, 'bin'),
    relocatableRoot: copy,
    missingLinks: [],
  };
  if (!(await canRun(staged, options.user))) {
    throw new WalnutError(
      'permission',
      `run the programs in ${copy}: user ${options.user.name} cannot reach them`,
      { hint: 'Choose a scratch folder whose parents all have mode 755 or 711.' },
    );
  }
  return staged;
}

async function canRun(binaries: PostgresqlBinaries, user: SystemUser): Promise<boolean> {
  const root = binaries.relocatableRoot;
  const paths = [binaries.binFolder, join(binaries.binFolder, 'postgres')].concat(
    root === undefined ? [] : [join(root, 'lib'), join(root, 'share')],
  );
  const answers = await Promise.all(paths.map(async (path) => await isReachable(path, user)));
  return answers.every(Boolean);
}

/** Copies under a name of its own and renames: others see the whole copy or none, and of two copies one wins. */
async function copyOnce(binaries: PostgresqlBinaries, root: string, copy: string): Promise<void> {
  const temporary = `${copy}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await mkdir(temporary);
    for (const part of ['bin', 'lib', 'share']) {
      await cp(join(root, part), join(temporary, part), {
        recursive: true,
        verbatimSymlinks: true,
        filter: (path) => !NOT_NEEDED.test(path),
      });
    }
    for (const { path, target } of binaries.missingLinks) {
      await symlink(basename(target), join(temporary, path));
    }
    await makeReadable(temporary);
    await rename(temporary, copy);
  } catch (error) {
    await removeFolder(temporary);
    if (await exists(copy)) return;
    throw new WalnutError('failed', `copy PostgreSQL ${binaries.version} from ${root} to ${copy}`, {
      cause: error,
    });
  }
}

/** `chmod -R a+rX`. */
async function makeReadable(path: string): Promise<void> {
  const facts = await lstat(path);
  if (facts.isSymbolicLink()) return;
  if (!facts.isDirectory()) {
    await chmod(path, (facts.mode & 0o100) === 0 ? 0o644 : 0o755);
    return;
  }
  await chmod(path, 0o755);
  for (const name of await readdir(path)) await makeReadable(join(path, name));
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
