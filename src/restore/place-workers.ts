import type { ObjectStore } from '../storage/object-store.ts';
import type { FileOwner } from './file-owner.ts';
import type { Locations } from './locations.ts';
import { PLACED_BYTES, PLACED_BYTES_LENGTH, type PlaceWorkerSetup } from './place-protocol.ts';
import type { PlaceTask } from './place-tasks.ts';
import { WorkerPool } from './worker-pool.ts';

export type PlaceWorkersOptions = {
  readonly store: ObjectStore;
  readonly locations: Locations;
  readonly owner: FileOwner | null;
  readonly jobs: number;
  readonly rateBytesPerSecond: number | null;
};

/** The threads that place, and what they count. They touch nothing before they are given a task. */
export class PlaceWorkers {
  readonly pool: WorkerPool<PlaceTask>;
  readonly jobs: number;
  readonly #counters = new SharedArrayBuffer(PLACED_BYTES_LENGTH);

  constructor({ store, locations, owner, jobs, rateBytesPerSecond }: PlaceWorkersOptions) {
    const placedBytes = this.#counters;
    const place = { store: store.description, locations, owner };
    const setup: PlaceWorkerSetup = { ...place, rateBytesPerSecond, placedBytes };
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
