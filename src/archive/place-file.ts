import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../lib/durable-file.ts';
import { uniqueSuffix } from '../lib/unique-suffix.ts';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { writeFully } from '../lib/write-fully.ts';

/** Writes the content of a file part by part; a part is the caller's again when `append` returns. */
export type Fill<Result> = (append: (part: Uint8Array) => void) => Promise<Result>;

/**
 * Writes a file where PostgreSQL asked for it: whole or not at all, even when the power fails, because recovery takes
 * whatever stands under the name. Where `fill` fails there is no file, and its error is thrown.
 */
export async function placeFile<Result>(destination: string, fill: Fill<Result>): Promise<Result> {
  const temporary = `${destination}.${uniqueSuffix()}.walnut`;
  try {
    const result = await writeDurably(temporary, fill);
    await rename(temporary, destination);
    await syncFolder(dirname(destination));
    return result;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error instanceof WalnutError ? error : notWritten(destination, error);
  }
}

async function writeDurably<Result>(path: string, fill: Fill<Result>): Promise<Result> {
  const handle = await open(path, 'wx', 0o600);
  try {
    const result = await fill((part) => writeFully(handle.fd, part, null));
    await handle.sync();
    return result;
  } finally {
    await handle.close();
  }
}

function notWritten(destination: string, cause: unknown): WalnutError {
  const isFull = cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC';
  return new WalnutError(
    isFull ? 'disk-full' : 'failed',
    `write ${destination}: ${messageOf(cause)}`,
    { cause },
  );
}
