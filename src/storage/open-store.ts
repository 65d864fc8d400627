import { openFilesystemStore } from './filesystem/filesystem-store.ts';
import type { ObjectStore, StoreDescription } from './object-store.ts';

/** Opens the store that a description names; each worker thread opens its own. Does not create anything. */
export async function openStore(description: StoreDescription): Promise<ObjectStore> {
  return openFilesystemStore(description);
}
