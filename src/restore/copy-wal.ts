import { join } from 'node:path';
import { coverOf } from '../catalog/open-segment.ts';
import { readPathSegment } from '../catalog/segment-content.ts';
import type { WalInventory } from '../catalog/wal-inventory.ts';
import type { WalPathSegment } from '../catalog/wal-path.ts';
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
  { store, inventory }: CopyWalOptions,
  segment: WalPathSegment,
): Promise<Uint8Array> {
  const { segmentBytes } = inventory;
  const { bytes, length } = await readPathSegment(store, inventory, segment);
  const { name, open } = segment;
  const wanted = open === null ? segmentBytes : coverOf(open.parts).length;
  if (length === wanted) return bytes;
  throw new WalnutError(
    'object-damaged',
    `copy WAL segment ${name}: its stored parts hold ${length} of ${wanted} bytes without damage`,
    { hint: 'Run `walnut verify`.', details: { segment: name } },
  );
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
