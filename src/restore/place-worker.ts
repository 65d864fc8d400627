/**
 * A worker thread of a restore: reads the frames it needs, checks and opens them, and writes their parts where they belong.
 * It works synchronously on its own buffers; only the reads from the store are awaited.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../lib/assert.ts';
import { openStore } from '../storage/open-store.ts';
import { PlaceEngine } from './place-engine.ts';
import type { PlaceWorkerSetup, WorkerAnswer } from './place-protocol.ts';
import type { PlaceTask } from './place-tasks.ts';
import { serializeError } from '../lib/serialized-error.ts';

const port = must(parentPort, 'the place worker runs in a worker thread');
const setup = workerData as PlaceWorkerSetup;
const engine = openStore(setup.store).then((store) => new PlaceEngine(store, setup));

async function answer(task: PlaceTask): Promise<WorkerAnswer> {
  try {
    const readBytes = await (await engine).run(task);
    return { kind: 'done', readBytes };
  } catch (error) {
    return { kind: 'failed', failure: serializeError(error) };
  }
}

port.on('message', (task: PlaceTask) => {
  void answer(task).then((result) => port.postMessage(result));
});
