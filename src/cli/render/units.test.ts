import { describe, expect, test } from 'vitest';
import { renderBytes, renderDuration, renderRate, renderTime } from './units.ts';

describe('units', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [999.7, '1.00 kB'],
    [1000, '1.00 kB'],
    [9_994, '9.99 kB'],
    [9_996, '10.0 kB'],
    [99_960, '100 kB'],
    [999_499, '999 kB'],
    [999_600, '1.00 MB'],
    [1_234_567_890, '1.23 GB'],
    [5e18, '5000 PB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(renderBytes(bytes)).toBe(text);
  });

  test.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [4_249, '4.2 s'],
    [59_940, '59.9 s'],
    [59_990, '1 min 00 s'],
    [192_000, '3 min 12 s'],
    [3_599_700, '1 h 00 min'],
    [7_500_000, '2 h 05 min'],
    [273_600_000, '3 d 4 h'],
  ])('%d ms are %s', (ms, text) => {
    expect(renderDuration(ms)).toBe(text);
  });

  test('a rate is bytes a second', () => {
    expect(renderRate(52_400_000)).toBe('52.4 MB/s');
  });

  test.each([
    [60, '2026-11-22 20:15:00 +01:00'],
    [-210, '2026-11-22 15:45:00 -03:30'],
    [0, '2026-11-22 19:15:00 +00:00'],
    [330, '2026-11-23 00:45:00 +05:30'],
  ])('a time is shown with its zone, %d minutes east', (minutes, text) => {
    expect(renderTime(new Date('2026-11-22T19:15:00.900Z'), () => minutes)).toBe(text);
  });
});
