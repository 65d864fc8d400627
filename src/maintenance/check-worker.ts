import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../lib/assert.ts';
import { serializeError } from '../lib/serialized-error.ts';
import type { StoreDescription } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';
import type { CheckAnswer } from './check-lanes.ts';
import { runCheckTask, type CheckTask } from './check-task.ts';

const port = must(parentPort, 'verify workers run in a thread');
const store = await openStore(workerData as StoreDescription);

port.on('message', (task: CheckTask) => {
  void answer(task).then((message) => port.postMessage(message));
});

async function answer(task: CheckTask): Promise<CheckAnswer> {
  try {
    return { verdict: await runCheckTask(store, task) };
  } catch (error) {
    return { error: serializeError(error) };
  }
}
