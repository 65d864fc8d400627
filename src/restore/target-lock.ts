import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import { requireStopped, RESTORE_LOCK_STATUS } from './server-processes.ts';

/** A lock file that was found dead may be replaced by someone else before we do it; more often than this it is no chance. */
const ATTEMPTS_MAX = 5;

export type TargetLock = { release(): Promise<void> };

/**
 * Takes PostgreSQL's own lock of a data directory, so that neither a server starts on it nor a second restore begins
 * while this process lives. The number is negative as for a single-user server: `pg_ctl stop` then sends no signal.
 * Source: CreateLockFile in src/backend/utils/init/miscinit.c.
 * @throws WalnutError `target-not-empty`, `locked`
 */
export async function lockTarget(dataDirectory: string): Promise<TargetLock> {
  const path = join(dataDirectory, 'postmaster.pid');
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    if (await createLockFile(path, dataDirectory)) {
      return { release: async () => await rm(path, { force: true }) };
    }
    await requireStopped(dataDirectory);
    await rm(path, { force: true });
  }
  throw new WalnutError(
    'locked',
    `lock ${dataDirectory}: something makes postmaster.pid again and again`,
    { hint: 'Find out what tries to start a server there, and stop it.' },
  );
}

async function createLockFile(path: string, dataDirectory: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx', 0o600);
    try {
      const startedSeconds = Math.floor(Date.now() / 1000);
      const nothing = ['0', '', '', ''];
      const lines = [-process.pid, dataDirectory, startedSeconds, ...nothing, RESTORE_LOCK_STATUS];
      await handle.writeFile(`${lines.join('\n')}\n`);
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw fileFailure(error, `lock ${path}`);
  }
}
