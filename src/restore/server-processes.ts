/** Which PostgreSQL servers run on this host, and what they use: nobody may write there. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import { systemCodeOf } from './file-failure.ts';

/** The last line of the lock file of a restore, where a server keeps its state; see `target-lock.ts`. */
export const RESTORE_LOCK_STATUS = 'walnut restore';

const LOCK_FILE = 'postmaster.pid';
const SERVER_NAME = /postgres|postmaster/;

type FolderIdentity = { readonly device: number; readonly inode: number };

type ServerProcess = {
  readonly processId: number;
  readonly dataDirectory: string;
  readonly folders: readonly FolderIdentity[];
};

/**
 * Refuses a data directory on which a server runs, or that another restore works on.
 * @throws WalnutError `target-not-empty`, `locked`
 */
export async function requireStopped(dataDirectory: string): Promise<void> {
  const text = await readFile(join(dataDirectory, LOCK_FILE), 'utf8').catch(() => '');
  const processId = Number(/^-?(\d+)/.exec(text)?.[1] ?? 0);
  if (processId === 0 || !isAlive(processId)) return;
  if (text.trimEnd().endsWith(RESTORE_LOCK_STATUS)) {
    throw new WalnutError(
      'locked',
      `restore into ${dataDirectory}: another restore works on it, process ${processId}`,
      {
        hint: 'Wait until it has ended. If that process is no restore, remove postmaster.pid.',
        details: { processId },
      },
    );
  }
  if (await worksElsewhere(processId, dataDirectory)) return;
  throw new WalnutError(
    'target-not-empty',
    `restore into ${dataDirectory}: a PostgreSQL server runs there, process ${processId}`,
    {
      hint:
        'Stop it (pg_ctl stop) or restore into another folder; a running server is never touched. If that process is ' +
        'no server, remove postmaster.pid.',
      details: { processId },
    },
  );
}

/**
 * Refuses folders that a running server uses as its data directory, as a tablespace or for its WAL. The lock file alone
 * does not tell: it may have been removed by hand, and a copied data directory links to the original's tablespaces.
 * @throws WalnutError `target-not-empty`
 */
export async function requireUnused(folders: readonly string[]): Promise<void> {
  const servers = await serverProcesses();
  for (const folder of folders) {
    const identity = await identityOf(folder);
    if (identity === null) continue;
    const user = servers.find((server) => server.folders.some((used) => isSame(used, identity)));
    if (user === undefined) continue;
    throw new WalnutError(
      'target-not-empty',
      `restore into ${folder}: a running PostgreSQL server uses it, process ${user.processId} with data directory ` +
        user.dataDirectory,
      {
        hint: 'Stop that server if it is the one to restore; else choose other folders (--target, --tablespace, --wal-directory).',
        details: { processId: user.processId, path: folder },
      },
    );
  }
}

/** The servers whose working folder this process may see; none where there is no `/proc`. */
async function serverProcesses(): Promise<ServerProcess[]> {
  const names = await readdir('/proc').catch((): string[] => []);
  const servers: ServerProcess[] = [];
  const known = new Set<string>();
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue;
    const program = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '');
    if (!SERVER_NAME.test(program)) continue;
    // A server's working folder is its data directory; this link leads there also out of a container.
    const folder = `/proc/${name}/cwd`;
    const dataDirectory = await readlink(folder).catch(() => null);
    if (dataDirectory === null || known.has(dataDirectory)) continue;
    known.add(dataDirectory);
    servers.push({ processId: Number(name), dataDirectory, folders: await foldersOf(folder) });
  }
  return servers;
}

async function foldersOf(dataDirectory: string): Promise<FolderIdentity[]> {
  const tablespaces = await readdir(join(dataDirectory, 'pg_tblspc')).catch((): string[] => []);
  const paths = ['.', 'pg_wal', ...tablespaces.map((oid) => join('pg_tblspc', oid))];
  const identities = await Promise.all(paths.map((path) => identityOf(`${dataDirectory}/${path}`)));
  return identities.filter((identity) => identity !== null);
}

async function identityOf(path: string): Promise<FolderIdentity | null> {
  const info = await stat(path).catch(() => null);
  return info === null ? null : { device: info.dev, inode: info.ino };
}

function isSame(first: FolderIdentity, second: FolderIdentity): boolean {
  return first.device === second.device && first.inode === second.inode;
}

/** True only when it is certain; after a restart of the host the number may have become another program's. */
async function worksElsewhere(processId: number, dataDirectory: string): Promise<boolean> {
  const [works, wanted] = await Promise.all([
    identityOf(`/proc/${processId}/cwd`),
    identityOf(dataDirectory),
  ]);
  return works !== null && wanted !== null && !isSame(works, wanted);
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch (error) {
    return systemCodeOf(error) === 'EPERM';
  }
}
