import { expect, test } from 'vitest';
import { sleep } from '../lib/sleep.ts';
import { WorkerPool } from './worker-pool.ts';

const STARTED_MS = 500;

test.each([
  ['before', STARTED_MS],
  ['while', 0],
])('a worker that ends %s it is given a task fails the run', async (_, waitMs) => {
  const pool = new WorkerPool<string>({ module: 'no-such-worker', workers: 2, setup: null });
  await sleep(waitMs);
  const { signal } = new AbortController();
  await expect(pool.run(['task'], { signal })).rejects.toThrow('no-such-worker');
});
