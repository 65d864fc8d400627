import { describe, expect, test } from 'vitest';
import { baseValue, type BaseUnit } from './recorded-settings.ts';

describe('the base value of a shown setting', () => {
  test.each<[string, BaseUnit, string]>([
    ['16MB', 'B', '16777216'],
    ['1GB', '8kB', '131072'],
    ['1GB', 'MB', '1024'],
    ['512MB', 'MB', '512'],
    ['1min', 'ms', '60000'],
    ['5min', 's', '300'],
    ['1h', 's', '3600'],
    ['1d', 's', '86400'],
    ['0', 's', '0'],
    ['-1', 'MB', '-1'],
    ['100', null, '100'],
    ['0700', null, '0700'],
    ['1min', null, '1min'],
  ])('of %s in %s is %s', (shown, unit, expected) => {
    expect(baseValue(shown, unit)).toBe(expected);
  });
});
