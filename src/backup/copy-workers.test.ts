import { describe, expect, test } from 'vitest';
import { ABORT_MS_MAX, CopyWorkers } from './copy-workers.ts';

describe('CopyWorkers that have nothing to copy', () => {
  test('end when they are asked to, without being told what it would have been', async () => {
    const startedMs = performance.now();
    const workers = new CopyWorkers(2, new AbortController().signal);
    await workers[Symbol.asyncDispose]();
    expect(performance.now() - startedMs).toBeLessThan(ABORT_MS_MAX);
  });

  test('take no task once they were interrupted', async () => {
    const interruption = new AbortController();
    await using workers = new CopyWorkers(1, interruption.signal);
    interruption.abort(new Error('interrupted'));
    const sent = workers.send({ kind: 'task', task: { number: 0, items: [] } });
    await expect(sent).rejects.toThrow('interrupted');
  });
});
