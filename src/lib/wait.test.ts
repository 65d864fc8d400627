import { describe, expect, test } from 'vitest';
import { andThen } from './wait.ts';

describe('andThen', () => {
  test('goes on at once where there is nothing to wait for', () => {
    const done: string[] = [];
    const wait = andThen(undefined, () => void done.push('next'));
    expect(wait).toBeUndefined();
    expect(done).toEqual(['next']);
  });

  test('goes on when what there is to wait for is done, and not when it fails', async () => {
    const done: string[] = [];
    const first = Promise.resolve().then(() => void done.push('first'));
    const wait = andThen(first, () => void done.push('next'));
    expect(done).toEqual([]);
    await wait;
    expect(done).toEqual(['first', 'next']);
    const failed = andThen(Promise.reject(new Error('no')), () => void done.push('never'));
    await expect(failed).rejects.toThrow('no');
    expect(done).not.toContain('never');
  });
});
