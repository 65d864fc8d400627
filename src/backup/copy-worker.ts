/** The thread that copies: it owns its reader, its buffers and its packs, and takes one task after the other. */
import { parentPort } from 'node:worker_threads';
import { must } from '../lib/assert.ts';
import { serializeError } from '../lib/serialized-error.ts';
import { PageScanner } from '../postgres/cluster/page-scanner.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';
import { RANGE_BYTES_MAX, type RangeReader } from './cluster-source.ts';
import type { CopyWorkerData, FromWorker, ToWorker, WorkerSource } from './copy-messages.ts';
import { copyTask, type CopyTools } from './copy-task.ts';
import { EarlierPages } from './earlier-pages.ts';
import { FrameBuilder } from './frame-builder.ts';
import { LocalRangeReader } from './local-source.ts';
import { PackSequence } from './pack-sequence.ts';
import { PushedRangeReader } from './pushed-reader.ts';
import { newThrottle } from './throttle.ts';

/** Progress is reported when this much was read since the last report. */
const PROGRESS_BYTES: number = 8 * 1024 * 1024;

const port = must(parentPort, 'copy-worker runs in a worker thread');
/** Ends the task in work too: one that keeps a rate can take half a minute. */
const aborting = new AbortController();

await run().catch((error: unknown) => post({ kind: 'failed', error: serializeError(error) }));

async function run(): Promise<void> {
  const received = messages();
  try {
    const scanner = await PageScanner.create(RANGE_BYTES_MAX);
    const { value: first } = await received.next();
    if (first?.kind === 'begin') await copy(first.data, { scanner, received });
  } finally {
    await received.return();
  }
}

type Prepared = { readonly scanner: PageScanner; readonly received: AsyncIterable<ToWorker> };

async function copy(data: CopyWorkerData, { scanner, received }: Prepared): Promise<void> {
  const store = await openStore(data.store);
  const packNumbers = new Int32Array(data.packNumbers);
  const packs = new PackSequence({
    store,
    server: data.server,
    id: data.id,
    level: data.level,
    nextNumber: () => Atomics.add(packNumbers, 0, 1) + 1,
  });
  const pushed = new PushedRangeReader();
  const reader = await openReader(data.source, pushed);
  const tools = newTools(data, { scanner, reader, packs, store });
  try {
    for await (const message of received) {
      if (message.kind === 'finish') break;
      if (message.kind === 'abort') {
        await packs.abort();
        return;
      }
      if (message.kind === 'begin') throw new Error('a copy worker begins once');
      if (message.kind === 'pushed') pushed.offer(message.bytes);
      const { task } = message;
      const { results, damage } = await copyTask(task.items, tools);
      tools.reportProgress();
      post({ kind: 'done', task: task.number, results, damage });
    }
    post({ kind: 'finished', packs: await packs.finish() });
  } catch (error) {
    await packs.abort();
    throw error;
  } finally {
    await reader.close();
    await store.close();
  }
}

async function openReader(source: WorkerSource, pushed: PushedRangeReader): Promise<RangeReader> {
  if (source.kind === 'local') return new LocalRangeReader(source.dataDirectory);
  if (source.kind === 'pushed') return pushed;
  // Loaded only here: it brings the whole client library, 50 ms for each worker.
  const { openConnectionRangeReader } = await import('./connection-source.ts');
  return openConnectionRangeReader(source.server);
}

type WorkerTools = CopyTools & { readonly reportProgress: () => void };

type Opened = {
  readonly scanner: PageScanner;
  readonly reader: RangeReader;
  readonly packs: PackSequence;
  readonly store: ObjectStore;
};

function newTools(data: CopyWorkerData, { scanner, reader, packs, store }: Opened): WorkerTools {
  let unreported = 0;
  const reportProgress = (): void => {
    post({ kind: 'progress', readBytes: unreported, storedBytes: packs.storedBytes });
    unreported = 0;
  };
  return {
    reportProgress,
    reader,
    scanner,
    frames: new FrameBuilder(packs),
    earlierPages: new EarlierPages(store),
    sharing: data.sharing,
    throttle: newThrottle(data.rateBytesPerSecond, aborting.signal),
    verifyChecksums: data.verifyChecksums,
    startLsn: data.startLsn,
    canReread: data.source.kind !== 'pushed',
    onProgress: (readBytes) => {
      unreported += readBytes;
      if (unreported >= PROGRESS_BYTES) reportProgress();
    },
  };
}

/** The queue is bounded by the main thread, which sends a task only for one that was answered. */
async function* messages(): AsyncGenerator<ToWorker, void> {
  const queue: ToWorker[] = [];
  let wake: () => void = () => undefined;
  port.on('message', (message: ToWorker) => {
    if (message.kind === 'abort') aborting.abort();
    queue.push(message);
    wake();
  });
  try {
    for (;;) {
      const next = queue.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      } else {
        yield next;
        if (next.kind === 'finish' || next.kind === 'abort') break;
      }
    }
  } finally {
    // Also when a task failed: a thread whose port is referenced does not end, and is waited for.
    port.unref();
  }
}

function post(message: FromWorker): void {
  port.postMessage(message);
}
