import { describe, expect, test } from 'vitest';
import { checkCron } from './cron-syntax.ts';

describe('checkCron', () => {
  test.each(['0 2 * * 0', '*/5 * * * *', '0 0-6/2 1,15 jan-mar mon-fri', '59 23 31 12 7'])(
    'accepts %j',
    (expression) => {
      expect(checkCron(expression)).toBeNull();
    },
  );

  test.each([
    ['0 2 * *', '4 fields'],
    ['60 * * * *', 'minute'],
    ['0 24 * * *', 'hour'],
    ['0 0 0 * *', 'day of month'],
    ['0 0 * foo *', 'month'],
    ['0 0 * * 5-1', 'day of week'],
    ['*/0 * * * *', 'minute'],
    ['1-2-3 * * * *', 'minute'],
    [', * * * *', 'minute'],
  ])('refuses %j', (expression, reason) => {
    expect(checkCron(expression)).toContain(reason);
  });
});
