import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProgressBar, renderProgressLine, type ProgressState } from './progress-bar.ts';

const half: ProgressState = {
  label: 'backup shop',
  doneBytes: 500_000_000,
  totalBytes: 1_000_000_000,
  elapsedMs: 10_000,
  bytesPerSecond: 50_000_000,
};

describe('renderProgressLine', () => {
  test('shows bar, percent, bytes, rate and time left', () => {
    expect(renderProgressLine(half, 120)).toBe(
      `backup shop  [${'#'.repeat(20)}${'-'.repeat(20)}]   50 %  500 MB of 1.00 GB  50.0 MB/s  10.0 s left`,
    );
  });

  test('gives up the bar first, then figures from the right', () => {
    expect(renderProgressLine(half, 70)).toBe(
      'backup shop   50 %  500 MB of 1.00 GB  50.0 MB/s  10.0 s left',
    );
    expect(renderProgressLine(half, 45)).toBe('backup shop   50 %  500 MB of 1.00 GB');
    expect(renderProgressLine(half, 20)).toBe('backup shop   50 %');
  });

  test('shows what is known when the total is not', () => {
    const state = { ...half, totalBytes: null, bytesPerSecond: null };
    expect(renderProgressLine(state, 80)).toBe('backup shop  500 MB  10.0 s');
  });

  test('never says more than all', () => {
    expect(renderProgressLine({ ...half, doneBytes: 2e9 }, 120)).toContain('100 %');
    expect(renderProgressLine({ ...half, doneBytes: 0, totalBytes: 0 }, 120)).toContain('100 %');
  });

  test('is never wider than the terminal', () => {
    const state = fc.record({
      label: fc.string({ maxLength: 30 }),
      doneBytes: fc.nat(),
      totalBytes: fc.option(fc.nat()),
      elapsedMs: fc.nat(),
      bytesPerSecond: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true })),
    });
    fc.assert(
      fc.property(state, fc.integer({ min: 1, max: 200 }), (each, columns) => {
        expect(renderProgressLine(each, columns).length).toBeLessThanOrEqual(columns);
      }),
    );
  });
});

describe('ProgressBar', () => {
  function onTerminal(): { written: string[]; bar: ProgressBar; clock: { ms: number } } {
    const written: string[] = [];
    const clock = { ms: 0 };
    const terminal = { write: (text: string): void => void written.push(text), columns: () => 81 };
    return { written, clock, bar: new ProgressBar(terminal, 'copy', () => clock.ms) };
  }

  test('draws at most ten times a second', () => {
    const { written, bar, clock } = onTerminal();
    for (clock.ms = 0; clock.ms < 1000; clock.ms += 1) bar.update(clock.ms, 1000);
    expect(written.length).toBeGreaterThan(5);
    expect(written.length).toBeLessThanOrEqual(11);
  });

  test('tells the rate of the last seconds, not of the whole time', () => {
    const { written, bar, clock } = onTerminal();
    for (clock.ms = 100; clock.ms <= 60_000; clock.ms += 100) bar.update(0, 1e9);
    for (let second = 1; second <= 10; second += 1) {
      clock.ms += 1000;
      bar.update(second * 1e6, 1e9);
    }
    expect(written.at(-1)).toContain('1.00 MB/s');
  });

  test('takes its line away and stays silent afterwards', () => {
    const { written, bar, clock } = onTerminal();
    bar.stop();
    const count = written.length;
    clock.ms = 5000;
    bar.update(1, 2);
    bar.relabel('more');
    bar.stop();
    expect(written.at(count - 1)).toBe('\r\u001B[K');
    expect(written.slice(count).join('')).toBe('');
  });

  test('draws nothing without a terminal', () => {
    const bar = new ProgressBar(null, 'copy', () => 0);
    expect(() => bar.update(1, 2)).not.toThrow();
  });
});
