import { serverKeys } from '../repository/layout.ts';
import type { ObjectInfo } from '../storage/object-store.ts';
import type { LoadedBackups } from './load-backups.ts';
import { nameOfObject } from './object-kind.ts';
import type { VerifyRun } from './verify-run.ts';

type FoundObject = Pick<ObjectInfo, 'key' | 'sizeBytes'>;

export type ServerScan = {
  /** Bytes that will be read. */
  readonly bytes: number;
  /** Packs to check, by key: those stored, or those that the one backup needs. */
  readonly packs: ReadonlyMap<string, number>;
  /** Maps that no manifest names, and attempts. */
  readonly strays: readonly (FoundObject & { readonly kind: 'map' | 'attempt' })[];
};

/** Finds what there is to check of a server. WAL is only counted: there may be very much of it. */
export async function scanServer(
  run: VerifyRun,
  server: string,
  loaded: LoadedBackups,
): Promise<ServerScan> {
  const { store, backup: only } = run.options;
  if (only !== null) return scanBackup(loaded);
  const packs = new Map<string, number>();
  const strays: (FoundObject & { kind: 'map' | 'attempt' })[] = [];
  let bytes = 0;
  for await (const { key, sizeBytes } of store.list(serverKeys.folder(server))) {
    run.signal.throwIfAborted();
    const name = nameOfObject(server, key);
    if (name.kind === 'unexpected') run.unexpected.push(key);
    if (name.kind === 'pack') packs.set(key, sizeBytes);
    const isStray = name.kind === 'attempt' || (name.kind === 'map' && !loaded.chunks.has(key));
    if (isStray) strays.push({ kind: name.kind, key, sizeBytes });
    if (name.kind === 'pack' || name.kind === 'map' || name.kind === 'wal') bytes += sizeBytes;
  }
  return { bytes, packs, strays };
}

function scanBackup({ packs, chunks }: LoadedBackups): ServerScan {
  const needed = new Map([...packs].map(([key, { storedBytes }]) => [key, storedBytes]));
  const packBytes = [...needed.values()].reduce((sum, size) => sum + size, 0);
  const mapBytes = [...chunks.values()].reduce((sum, use) => sum + use.reference.storedBytes, 0);
  return { bytes: packBytes + mapBytes, packs: needed, strays: [] };
}
