import type { RepositoryConfiguration } from '../config/configuration.ts';
import { readDescriptor } from '../repository/repository.ts';
import type { ObjectStore, StoreDescription } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';

export function storeDescriptionOf(repository: RepositoryConfiguration): StoreDescription {
  return { kind: 'filesystem', path: repository.path };
}

/** Runs `work` with the repository open; `repository-missing` when there is none. */
export async function withRepository<T>(
  repository: RepositoryConfiguration,
  work: (store: ObjectStore) => Promise<T>,
): Promise<T> {
  const store = await openStore(storeDescriptionOf(repository));
  try {
    await readDescriptor(store);
    return await work(store);
  } finally {
    await store.close();
  }
}
