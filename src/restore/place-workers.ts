import type { Manifest } from '../repository/manifest.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { FileOwner } from './file-owner.ts';
import type { Locations } from './locations.ts';
import { PLACED_BYTES, PLACED_BYTES_LENGTH, type PlaceWorkerSetup } from './place-protocol.ts';
import type { PlaceTask } from './place-tasks.ts';
import { WorkerPool } from './worker-pool.ts';

export type PlaceWorkersOptions = {
  readonly store: ObjectStore;
  /** Of what is placed. */
  readonly manifest: Manifest;
  readonly locations: Locations;
  readonly owner: FileOwner | null;
  readonly jobs: number;
  readonly rateBytesPerSecond: number | null;
};

/**
 * The threads that place, and what they count. They touch nothing before they are given a task, and read meanwhile what
 * the first one will need.
 */
export class PlaceWorkers {
  readonly pool: WorkerPool<PlaceTask>;
  readonly jobs: number;
  readonly #counters = new SharedArrayBuffer(PLACED_BYTES_LENGTH);

  constructor({ store, manifest, jobs, ...options }: PlaceWorkersOptions) {
    const { locations, owner, rateBytesPerSecond } = options;
    const packs = manifest.packs.map(({ key }) => key);
    const place = { store: store.description, packs, locations, owner, rateBytesPerSecond };
    const setup: PlaceWorkerSetup = { ...place, placedBytes: this.#counters };
    this.pool = new WorkerPool({ module: 'place-worker', workers: jobs, setup });
    this.jobs = jobs;
  }

  countOf(counter: keyof typeof PLACED_BYTES): number {
    return Number(Atomics.load(new BigInt64Array(this.#counters), PLACED_BYTES[counter]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close();
  }
}
