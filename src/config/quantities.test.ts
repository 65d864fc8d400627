import { describe, expect, test } from 'vitest';
import { parseDuration, parseRate, parseSize } from './quantities.ts';

describe('parseSize', () => {
  test.each([
    ['64MB', 64_000_000],
    ['64 mb', 64_000_000],
    ['1.5kB', 1500],
    ['1KiB', 1024],
    ['2 GiB', 2 ** 31],
    ['3TB', 3e12],
    ['7B', 7],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', '64', 'MB', '-1MB', '1 XB', '1MB/s', '1,5MB', '0MB', '9999999TB', '1M', '1e3B'])(
    'refuses %j',
    (text) => {
      expect(() => parseSize(text)).toThrow(text);
    },
  );
});

describe('parseRate', () => {
  test.each([
    ['50MB/s', 50_000_000],
    ['1.5 GB / s', 1_500_000_000],
    ['10KiB/sec', 10_240],
  ])('%s is %i bytes a second', (text, rate) => {
    expect(parseRate(text)).toBe(rate);
  });

  test.each(['', '50MB', '50/s', '/s', '50MB/h', '0MB/s'])('refuses %j', (text) => {
    expect(() => parseRate(text)).toThrow(text.replace('/s', ''));
  });
});

describe('parseDuration', () => {
  test.each([
    ['14 days', 14 * 86_400_000],
    ['2s', 2000],
    ['250ms', 250],
    ['1 h 30 min', 5_400_000],
    ['1week', 604_800_000],
    ['0.5 h', 1_800_000],
    ['1d12h', 129_600_000],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '14', 'days', '5 m', '1 month', '-2s', '0s', '2s x', '1..5s'])(
    'refuses %j',
    (text) => {
      expect(() => parseDuration(text)).toThrow(text);
    },
  );
});
