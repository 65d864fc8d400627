import { expect, test, vi } from 'vitest';
import { exampleManifest } from '../../test/support/stored-backup.ts';
import { BackupMapWriter } from '../repository/backup-map.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import { openMemoryStore } from '../storage/memory/memory-store.ts';
import { MapReader } from './map-reader.ts';

async function pathsOf(map: MapReader): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of map.entries()) paths.push(path);
  return paths;
}

test('a map is the same each time, and of a large one only some chunks are kept', async () => {
  const store = openMemoryStore();
  const manifest = exampleManifest({});
  const writer = new BackupMapWriter(store, { server: 'shop', id: manifest.id });
  const entries = Array.from({ length: 25_000 }, (_, number): MapEntry => ({
    kind: 'directory',
    path: `folder/${String(number).padStart(6, '0')}`,
    mode: 0o700,
    sizeBytes: 0,
    modifiedMs: 0,
  }));
  for (const entry of entries) await writer.add(entry);
  const chunks = [...(await writer.finish())];
  expect(chunks.length).toBeGreaterThan(5);
  const get = vi.spyOn(store, 'get');
  const map = new MapReader(store, { ...manifest, chunks });
  const wanted = entries.map(({ path }) => path);
  expect(await pathsOf(map)).toEqual(wanted);
  expect(get).toHaveBeenCalledTimes(chunks.length);
  expect(await pathsOf(map)).toEqual(wanted);
  expect(get).toHaveBeenCalledTimes(2 * chunks.length - 4);
});
