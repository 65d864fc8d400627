/**
 * A worker thread of a restore: reads the frames it needs, checks and opens them, and writes their parts where they belong.
 * It works synchronously on its own buffers; only the reads from the store are awaited.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../lib/assert.ts';
import { openStore } from '../storage/open-store.ts';
import { PlaceEngine, type Placed } from './place-engine.ts';
import type { PlaceWorkerSetup, WorkerAnswer } from './place-protocol.ts';
import type { PlaceTask } from './place-tasks.ts';
import { serializeError } from '../lib/serialized-error.ts';

const port = must(parentPort, 'the place worker runs in a worker thread');
const setup = workerData as PlaceWorkerSetup;
/** A chain of backups has more, a stretch of the target seldom. */
const PACKS_KEPT_OPEN = 16;

const engine = openStore(setup.store, { objectsKeptOpen: PACKS_KEPT_OPEN }).then(
  (store) => new PlaceEngine(store, setup),
);

/** Resolves when the engine is free for the next task; the first one meets and explains what failed here. */
let free: Promise<unknown> = engine.then(async (made) => made.lookAhead()).catch(() => undefined);

async function answer(placing: Promise<Placed>): Promise<WorkerAnswer> {
  try {
    const { readBytes, written } = await placing;
    await written;
    return { kind: 'done', readBytes };
  } catch (error) {
    return { kind: 'failed', failure: serializeError(error) };
  }
}

port.on('message', (task: PlaceTask) => {
  const placing = free.then(async () => (await engine).place(task));
  free = placing.catch(() => undefined);
  void answer(placing).then((result) => port.postMessage(result));
});
