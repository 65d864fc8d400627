import { closeSync, fsync, openSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { syncFolder } from '../lib/durable-file.ts';
import { uniqueSuffix } from '../lib/unique-suffix.ts';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { writeFully } from '../lib/write-fully.ts';

/** Writes the content of a file part by part; a part is the caller's again when `append` returns. */
export type Fill = (append: (part: Uint8Array) => void) => Promise<void>;

const syncDescriptor = promisify(fsync);

/**
 * Writes a file where PostgreSQL asked for it: whole or not at all, even when the power fails, because recovery takes
 * whatever stands under the name. Where `fill` fails there is no file, and its error is thrown.
 */
export async function placeFile(destination: string, fill: Fill): Promise<void> {
  const temporary = `${destination}.${uniqueSuffix()}.walnut`;
  try {
    await writeDurably(temporary, fill);
    await rename(temporary, destination);
    await syncFolder(dirname(destination));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error instanceof WalnutError ? error : notWritten(destination, error);
  }
}

/** There is no file before there is content: what is not stored is to be told from what cannot be written. */
async function writeDurably(path: string, fill: Fill): Promise<void> {
  let descriptor: number | null = null;
  const opened = (): number => (descriptor ??= openSync(path, 'wx', 0o600));
  try {
    await fill((part) => writeFully(opened(), part, null));
    await syncDescriptor(opened());
  } finally {
    if (descriptor !== null) closeSync(descriptor);
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
