import { openFilesystemStore } from './filesystem/filesystem-store.ts';
import type { ObjectStore, StoreDescription, StoreOptions } from './object-store.ts';

/** Opens the store that a description names; each worker thread opens its own. Does not create anything. */
export async function openStore(
  description: StoreDescription,
  options: StoreOptions = {},
): Promise<ObjectStore> {
  return openFilesystemStore(description, options);
}
