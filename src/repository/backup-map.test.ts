import { describe, expect, test } from 'vitest';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BackupId } from './backup-id.ts';
import { BackupMapWriter, readMapChunk, type ChunkReference } from './backup-map.ts';
import type { MapEntry } from './map-chunk.ts';

const FULL = '20261122T191500Z-F' as BackupId;
const NEXT = '20261122T201500Z-I' as BackupId;
const PACK = `shop/backup/${FULL}/pack-000001`;

function entry(number: number, modifiedMs = 1000): MapEntry {
  const path = `base/5/${String(number).padStart(8, '0')}`;
  const extents = [{ firstBlock: 0, pages: 1, pack: PACK, frame: number, position: 0 }];
  const facts = { path, mode: 0o600, modifiedMs, sizeBytes: 8192, identity: null };
  return { ...facts, kind: 'relation', extents };
}

async function write(
  store: ObjectStore,
  id: BackupId,
  { entries, earlier = [] }: { entries: readonly MapEntry[]; earlier?: readonly ChunkReference[] },
): Promise<readonly ChunkReference[]> {
  const writer = new BackupMapWriter(store, { server: 'shop', id }, earlier);
  for (const each of entries) await writer.add(each);
  return writer.finish();
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number * 10);
}

async function readAll(store: ObjectStore, chunks: readonly ChunkReference[]): Promise<MapEntry[]> {
  const read = await Promise.all(chunks.map(async (chunk) => readMapChunk(store, chunk)));
  return read.flat();
}

function own(chunks: readonly ChunkReference[]): number {
  return chunks.filter(({ key }) => key.startsWith(`shop/backup/${NEXT}/`)).length;
}

describe('the map of a backup beside an earlier one', () => {
  test('names every chunk of the earlier one again when nothing changed, and stores nothing', async () => {
    const store = openMemoryStore();
    const entries = numbers(10_000).map((number) => entry(number));
    const earlier = await write(store, FULL, { entries });
    expect(earlier.length).toBeGreaterThan(2);
    expect(await write(store, NEXT, { entries, earlier })).toEqual(earlier);
  });

  test('stores only the chunk in which a file changed', async () => {
    const store = openMemoryStore();
    const entries = numbers(20_000).map((number) => entry(number));
    const earlier = await write(store, FULL, { entries });
    const changed = entries.with(9000, entry(90_000, 2000));
    const chunks = await write(store, NEXT, { entries: changed, earlier });
    expect(chunks.length).toBe(earlier.length);
    expect(own(chunks)).toBe(1);
    expect(await readAll(store, chunks)).toEqual(changed);
  });

  test.each([
    ['a file was added', (all: MapEntry[]) => all.toSpliced(5000, 0, entry(49_995))],
    [
      'a file was added at the front',
      (all: MapEntry[]) => [entry(0), ...all.slice(1).toSpliced(0, 0, entry(5))],
    ],
    ['a file was added at the end', (all: MapEntry[]) => [...all, entry(999_999)]],
    ['a file was removed', (all: MapEntry[]) => all.toSpliced(5000, 1)],
    [
      'many files were added at one place',
      (all: MapEntry[]) => all.toSpliced(5000, 0, ...several(49_991)),
    ],
  ])('shares all chunks but one or two when %s', async (_what, change) => {
    const store = openMemoryStore();
    const entries = numbers(20_000).map((number) => entry(number));
    const earlier = await write(store, FULL, { entries });
    const changed = change([...entries]);
    const chunks = await write(store, NEXT, { entries: changed, earlier });
    expect(own(chunks)).toBeGreaterThan(0);
    expect(own(chunks)).toBeLessThanOrEqual(2);
    expect(await readAll(store, chunks)).toEqual(changed);
  });

  test('does not crumble when the cluster grows again and again', async () => {
    const store = openMemoryStore();
    let entries = numbers(5000).map((number) => entry(number));
    let chunks = await write(store, FULL, { entries });
    for (let round = 0; round < 40; round += 1) {
      entries = [...entries, ...numbers(300).map((at) => entry(100_000 + round * 10_000 + at))];
      const id = `20261122T2015${String(round).padStart(2, '0')}Z-I` as BackupId;
      chunks = await write(store, id, { entries, earlier: chunks });
    }
    expect(await readAll(store, chunks)).toEqual(entries);
    expect(chunks.length).toBeLessThan(25);
  });
});

/** Entries between two neighbours. */
function several(first: number): MapEntry[] {
  return Array.from({ length: 8 }, (_, index) => entry(first + index));
}
