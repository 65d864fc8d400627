import { describe, expect, test } from 'vitest';
import { formatPostgresTime } from '../postgres/wal/postgres-time.ts';
import { parseTime } from './parse-time.ts';
import type { ZoneOffset } from './render/units.ts';

/** Central European time in 2026: clocks go forward on 29 March and back on 25 October, both at 01:00 UTC. */
const berlin: ZoneOffset = (moment) => {
  const ms = moment.getTime();
  return ms >= Date.UTC(2026, 2, 29, 1) && ms < Date.UTC(2026, 9, 25, 1) ? 120 : 60;
};
const now = new Date('2026-11-22T23:30:00Z');

function read(text: string): string {
  return formatPostgresTime(parseTime(text, { now, zoneOffset: berlin }));
}

describe('parseTime', () => {
  test.each([
    ['2026-11-22 19:15:00', '2026-11-22T18:15:00.000000Z'],
    ['2026-07-01 19:15', '2026-07-01T17:15:00.000000Z'],
    ['2026-11-22T19:15:00.123', '2026-11-22T18:15:00.123000Z'],
    ['2026-11-22 19:15:00.123456', '2026-11-22T18:15:00.123456Z'],
    ['2026-11-22 19:15:00,5', '2026-11-22T18:15:00.500000Z'],
    ['2026-11-22 19:15:00Z', '2026-11-22T19:15:00.000000Z'],
    ['2026-11-22 19:15:00 UTC', '2026-11-22T19:15:00.000000Z'],
    ['2026-11-22 19:15:00.000001+00', '2026-11-22T19:15:00.000001Z'],
    ['2026-11-22 19:15:00+05:30', '2026-11-22T13:45:00.000000Z'],
    ['2026-11-22T19:15:00-0800', '2026-11-23T03:15:00.000000Z'],
    [' 2024-02-29 00:00 ', '2024-02-28T23:00:00.000000Z'],
    ['1999-12-31 23:59:59.999999Z', '1999-12-31T23:59:59.999999Z'],
  ])('reads %j as %s', (text, moment) => {
    expect(read(text)).toBe(moment);
  });

  test.each([
    ['today 14:00', '2026-11-23T13:00:00.000000Z'],
    ['Yesterday 14:00:30', '2026-11-22T13:00:30.000000Z'],
    ['today 00:00', '2026-11-22T23:00:00.000000Z'],
  ])("takes the user's calendar, on which it is the 23rd already: %j", (text, moment) => {
    expect(read(text)).toBe(moment);
  });

  test.each([
    ['2026-03-29 01:59:59', '2026-03-29T00:59:59.000000Z'],
    ['2026-03-29 03:00', '2026-03-29T01:00:00.000000Z'],
    ['2026-10-25 01:59:59', '2026-10-24T23:59:59.000000Z'],
    ['2026-10-25 03:00', '2026-10-25T02:00:00.000000Z'],
  ])('is exact beside a change of the clocks: %s', (text, moment) => {
    expect(read(text)).toBe(moment);
  });

  test('refuses a time that the clocks skip', () => {
    expect(() => read('2026-03-29 02:30')).toThrow('skip this time');
  });

  test('refuses a time that the clocks show twice, and names both', () => {
    expect(() => read('2026-10-25 02:30')).toThrow(/twice.*(?=.*\+02:00)(?=.*\+01:00)/);
    expect(read('2026-10-25 02:30+02:00')).toBe('2026-10-25T00:30:00.000000Z');
  });

  test.each([
    '',
    'now',
    'tomorrow 10:00',
    'today',
    '19:15',
    '2026-11-22',
    '22.11.2026 19:15',
    '11/22/2026 19:15',
    '2026-13-01 00:00',
    '2026-02-29 00:00',
    '2026-11-31 00:00',
    '2026-11-22 24:00',
    '2026-11-22 19:60',
    '2026-11-22 19:15:60',
    '2026-11-22 7:15',
    '2026-11-22 19:15:00.1234567',
    '2026-11-22 19:15 CET',
    '2026-11-22 19:15+15:00',
    '2026-11-22 19:15+01:75',
    '2026-11-22 19:15 or so',
    '1700000000',
  ])('refuses %j', (text) => {
    expect(() => read(text)).toThrow(SyntaxError);
  });
});
