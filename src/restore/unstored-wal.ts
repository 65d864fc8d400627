/**
 * WAL in pg_wal that no repository has: the end of what a crashed server wrote, or a whole life whose WAL was never
 * archived. A restore that would delete it deletes data for good, so it is moved aside instead.
 */
import { copyFile, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { holdsSegment, type WalInventory } from '../catalog/wal-inventory.ts';
import { syncFolder } from '../lib/durable-file.ts';
import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { readPageHeader } from '../postgres/wal/page-header.ts';
import { fileFailure, systemCodeOf } from './file-failure.ts';
import type { FileOwner } from './file-owner.ts';
import { ensureOwnedFolder } from './owned-files.ts';

/** Folders in pg_wal, each with the time of its plan; servers and later restores leave them alone. */
export const UNSTORED_WAL_PREFIX = 'walnut-unstored-';

const SEGMENT = /^([0-9A-F]{24})(?:\.partial)?$/;
const HISTORY = /^([0-9A-F]{8})\.history$/;
const PAGE_BYTES = 8192;

export type StoredWal = {
  readonly inventory: WalInventory;
  /** What lies before is of no use to anyone: the backup holds it. */
  readonly fromLsn: Lsn;
};

export type UnstoredWal = {
  /** Where it is moved to. */
  readonly folder: string;
  readonly places: readonly string[];
};

/** Whether a file of pg_wal holds WAL that the repository lacks. A recycled segment, whose content is old, does not. */
export async function isUnstoredWal(place: string, stored: StoredWal): Promise<boolean> {
  const [, timeline] = HISTORY.exec(basename(place)) ?? [];
  if (timeline !== undefined) {
    return !stored.inventory.histories.has(toTimelineId(Number.parseInt(timeline, 16)));
  }
  const [, name] = SEGMENT.exec(basename(place)) ?? [];
  if (name === undefined) return false;
  const begin = unstoredBegin(name, stored);
  return begin !== null && (await holdsWalFrom(place, { ...begin, ...stored }));
}

/** Moves WAL aside, durably; what another restore moved already is not there any more. */
export async function moveUnstoredWal(
  { folder, places }: UnstoredWal,
  owner: FileOwner | null,
): Promise<void> {
  if (places.length === 0) return;
  await ensureOwnedFolder(folder, { mode: 0o700, owner });
  for (const place of places) await move(place, join(folder, basename(place)));
  await syncFolder(folder);
  for (const parent of new Set(places.map((place) => dirname(place)))) await syncFolder(parent);
}

type UnstoredBegin = { readonly start: Lsn; readonly offset: number };

/** From which byte on a segment is not stored; null when all of it is, or nobody needs it. */
function unstoredBegin(name: string, { inventory, fromLsn }: StoredWal): UnstoredBegin | null {
  const { segmentBytes } = inventory;
  let position;
  try {
    position = parseSegmentName(name, segmentBytes);
  } catch {
    return null;
  }
  const { timeline, number } = position;
  const start = segmentStart(number, segmentBytes);
  if (segmentStart(number + 1n, segmentBytes) <= fromLsn) return null;
  const known = inventory.timelines.get(timeline);
  if (known === undefined) return { start, offset: 0 };
  if (holdsSegment(known, number)) return null;
  const part = known.open.find((each) => each.number === number);
  return { start, offset: part === undefined ? 0 : Number(part.end - start) };
}

/** A server makes each page of WAL zero before it writes records to it, and its header tells where it belongs. */
async function holdsWalFrom(
  place: string,
  { start, offset, inventory }: UnstoredBegin & StoredWal,
): Promise<boolean> {
  if (offset >= inventory.segmentBytes) return false;
  const first = await readPage(place, 0);
  const { systemIdentifier } = inventory.incarnation;
  const header = readPageHeader(first);
  if (header?.address !== start) return false;
  if (String(header.long?.systemIdentifier) !== systemIdentifier) return false;
  const inPage = offset % PAGE_BYTES;
  const page = await readPage(place, offset - inPage);
  if (readPageHeader(page)?.address !== toLsn(start + BigInt(offset - inPage))) return false;
  return page.subarray(inPage).some((byte) => byte !== 0);
}

async function readPage(place: string, offset: number): Promise<Buffer> {
  try {
    const handle = await open(place, 'r');
    try {
      const page = Buffer.alloc(PAGE_BYTES);
      const { bytesRead } = await handle.read(page, 0, PAGE_BYTES, offset);
      return page.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileFailure(error, `read ${place}`);
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    if (systemCodeOf(error) !== 'EXDEV') throw fileFailure(error, `move ${from} to ${to}`);
    await copyDurably(from, to);
  }
}

async function copyDurably(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to);
    const handle = await open(to, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await unlink(from);
  } catch (error) {
    throw fileFailure(error, `copy ${from} to ${to}`);
  }
}
