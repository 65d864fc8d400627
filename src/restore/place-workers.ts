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
  readonly keepPresent: boolean;
  readonly jobs: number;
  readonly rateBytesPerSecond: number | null;
};

/** Content of packs whose indexes are held together: 16 384 frames, half of what a thread holds. */
const LOOK_AHEAD_BYTES_MAX: number = 4 * 1024 * 1024 * 1024;

/**
 * The threads that place, and what they count. They touch nothing before they are given a task, and read meanwhile what
 * the first one will need.
 */
export class PlaceWorkers {
  readonly pool: WorkerPool<PlaceTask>;
  readonly jobs: number;
  readonly #counters = new SharedArrayBuffer(PLACED_BYTES_LENGTH);

  constructor({ store, manifest, jobs, ...options }: PlaceWorkersOptions) {
    const { locations, owner, keepPresent, rateBytesPerSecond } = options;
    const source = { store: store.description, packs: firstPacks(manifest) };
    const place = { locations, owner, keepPresent, rateBytesPerSecond };
    const setup: PlaceWorkerSetup = { ...source, ...place, placedBytes: this.#counters };
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

/** All packs of a small backup. Of a large one it is not known which come first, and who restores it does not feel it. */
function firstPacks({ packs }: Manifest): string[] {
  const bytes = packs.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
  return bytes > LOOK_AHEAD_BYTES_MAX ? [] : packs.map(({ key }) => key);
}
