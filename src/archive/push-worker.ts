/** A thread of `wal push --ahead`: stores the files that it is told, each durably, and says so. */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../lib/assert.ts';
import { serializeError } from '../lib/serialized-error.ts';
import { openStore } from '../storage/open-store.ts';
import { newPushScratch, pushFile, type PushScratch } from './push.ts';
import type { PushAnswer, PushTask, PushThreadSetup } from './push-thread.ts';

const port = must(parentPort, 'the push worker runs in a worker thread');
const { store, ...place } = workerData as PushThreadSetup;
const destination = openStore(store).then((opened) => ({ ...place, store: opened }));
/** As many as files were under way at once, which who sends the tasks limits. */
const unused: PushScratch[] = [];

async function answer({ path }: PushTask): Promise<PushAnswer> {
  const scratch = unused.pop() ?? newPushScratch(place.incarnation);
  try {
    await pushFile(await destination, path, scratch);
    return { path, failure: null };
  } catch (error) {
    return { path, failure: serializeError(error) };
  } finally {
    unused.push(scratch);
  }
}

port.on('message', (task: PushTask) => {
  void answer(task).then((result) => port.postMessage(result));
});
