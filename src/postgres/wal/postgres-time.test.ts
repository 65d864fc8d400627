import { expect, test } from 'vitest';
import {
  formatPostgresTime,
  msToPostgresTime,
  postgresTimeToDate,
  postgresTimeToMs,
} from './postgres-time.ts';

test('PostgreSQL counts microseconds from the year 2000', () => {
  expect(postgresTimeToDate(0).toISOString()).toBe('2000-01-01T00:00:00.000Z');
  expect(formatPostgresTime(848_689_673_633_046)).toBe('2026-11-22T19:07:53.633046Z');
  expect(formatPostgresTime(-1)).toBe('1999-12-31T23:59:59.999999Z');
});

test('milliseconds are rounded down and come back', () => {
  expect(postgresTimeToMs(1999)).toBe(946_684_800_001);
  expect(msToPostgresTime(postgresTimeToMs(5000))).toBe(5000);
});
