import { describe, expect, test } from 'vitest';
import { answered } from './answered.ts';

const never = new Promise<never>(() => {});

describe('an answer', () => {
  test('is passed on, and so is an error', async () => {
    const { signal } = new AbortController();
    expect(await answered(Promise.resolve(7), { signal, limitMs: 1000 })).toBe(7);
    await expect(
      answered(Promise.reject(new Error('no')), { signal, limitMs: 1000 }),
    ).rejects.toThrow('no');
  });

  test('that does not come is an error after its time', async () => {
    const { signal } = new AbortController();
    await expect(answered(never, { signal, limitMs: 20 })).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('did not answer within 0.02 s') as string,
    });
  });

  test('is not waited for after a stop, whenever that comes', async () => {
    const stop = new AbortController();
    const waiting = answered(never, { signal: stop.signal, limitMs: 1000 });
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    await expect(answered(never, { signal: stop.signal, limitMs: 1000 })).rejects.toThrow(
      'stopped',
    );
  });
});
