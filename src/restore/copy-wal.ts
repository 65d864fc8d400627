import { join } from 'node:path';
import { coverOf } from '../catalog/open-segment.ts';
import type { WalInventory } from '../catalog/wal-inventory.ts';
import type { WalPathSegment } from '../catalog/wal-path.ts';
import { assert } from '../lib/assert.ts';
import { syncFolder } from '../lib/durable-file.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { walKeys } from '../repository/layout.ts';
import { readWalObject } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { FileOwner } from './file-owner.ts';
import { writeOwnedFile } from './owned-files.ts';
import type { PlannedWal } from './plan-wal.ts';

export type CopyWalOptions = {
  readonly store: ObjectStore;
  readonly inventory: WalInventory;
  readonly wal: PlannedWal;
  /** Absolute: pg_wal or what it links to; `archive_status` stands in it. */
  readonly walFolder: string;
  readonly owner: FileOwner | null;
  readonly signal: AbortSignal;
};

/**
 * Lays the WAL of the plan into pg_wal, with the history files. Each file is marked as archived, or the promoted copy
 * would archive it (POSTGRES.md 0.13). Answers the bytes written.
 */
export async function copyWal(options: CopyWalOptions): Promise<number> {
  const { store, inventory, wal, walFolder, signal } = options;
  let writtenBytes = 0;
  for (const name of wal.historyFiles) {
    const key = walKeys.history(inventory.server, inventory.name, name);
    const content = await readWalObject(store, key, 'timeline-history');
    await layDown(options, name, content);
    writtenBytes += content.length;
  }
  for (const segment of wal.segments) {
    signal.throwIfAborted();
    const content = await readSegment(options, segment);
    await layDown(options, segment.name, content);
    writtenBytes += content.length;
  }
  await syncFolder(join(walFolder, 'archive_status'));
  await syncFolder(walFolder);
  return writtenBytes;
}

/** A whole segment; one that is stored only in parts is padded with zeros, where recovery ends. */
async function readSegment(
  { store, inventory, wal }: CopyWalOptions,
  { name, timeline, open }: WalPathSegment,
): Promise<Buffer> {
  const { segmentBytes } = wal;
  if (open === null) {
    const key = walKeys.segment({ ...placeOf(inventory), timeline }, name);
    const content = await readWalObject(store, key, 'wal-segment');
    if (content.length === segmentBytes) return content;
    throw new WalnutError(
      'object-damaged',
      `copy WAL segment ${name}: it has ${content.length} bytes instead of ${segmentBytes}`,
      { hint: 'Run `walnut verify`.', details: { key } },
    );
  }
  const content = Buffer.alloc(segmentBytes);
  for (const { key, kind, offset, length } of coverOf(open.parts).parts) {
    const part = await readWalObject(store, key, kind);
    assert(part.length >= length, `${key} holds what its name says`);
    part.copy(content, offset, 0, length);
  }
  return content;
}

function placeOf({ server, name }: WalInventory): { server: string; incarnation: string } {
  return { server, incarnation: name };
}

async function layDown(
  { walFolder, owner }: CopyWalOptions,
  name: string,
  content: Uint8Array,
): Promise<void> {
  await writeOwnedFile({ path: join(walFolder, name), content, mode: 0o600, owner });
  const mark = join(walFolder, 'archive_status', `${name}.done`);
  await writeOwnedFile({ path: mark, content: '', mode: 0o600, owner });
}
