import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { userInfo } from 'node:os';
import { fail, failedBy, pass, type Finding } from './finding.ts';

/** The receiver's local folder: written to when it is there, else the folder in which it would be made. */
export async function checkSpool(folder: string, signal: AbortSignal): Promise<Finding> {
  const name = 'spool folder';
  try {
    const existing = await nearestFolder(folder);
    await access(existing, constants.W_OK | constants.X_OK);
    if (existing !== folder) return pass(name, `${folder} will be made in ${existing}`);
    await probe(folder);
    return pass(name, `${folder} can be written durably`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') return failedBy(name, error, signal);
    const { username } = userInfo();
    return fail(name, `${folder} cannot be written by user ${username}`, {
      kind: 'other',
      text: `mkdir -p ${folder} && chown ${username} ${folder}, or set spool_directory in walnut.toml.`,
    });
  }
}

async function probe(folder: string): Promise<void> {
  const path = join(folder, `.check-${randomBytes(6).toString('hex')}`);
  try {
    const handle = await open(path, 'wx', 0o600);
    try {
      await handle.writeFile('walnut check');
      await handle.sync();
    } finally {
      await handle.close();
    }
  } finally {
    await rm(path, { force: true });
  }
}

async function nearestFolder(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return nearestFolder(dirname(path));
  }
}
