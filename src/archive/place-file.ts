import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';

/**
 * Writes a file where PostgreSQL asked for it: whole or not at all, even when the power fails, because recovery takes
 * whatever stands under the name.
 */
export async function placeFile(destination: string, content: Uint8Array): Promise<void> {
  const temporary = `${destination}.${randomBytes(6).toString('hex')}.walnut`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, destination);
    await syncFolder(dirname(destination));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    const isFull = error instanceof Error && 'code' in error && error.code === 'ENOSPC';
    throw new WalnutError(
      isFull ? 'disk-full' : 'failed',
      `write ${destination}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
