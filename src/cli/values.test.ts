import { describe, expect, test } from 'vitest';
import {
  parseBackupId,
  parseBackupName,
  parseIncarnation,
  parseJobs,
  parseLevel,
  parseMapping,
  parsePath,
  parsePercent,
  parseRestorePoint,
  parseSegment,
  parseSetting,
  parseTimelineChoice,
  parseXid,
} from './values.ts';

describe('values of options', () => {
  test.each([
    [parseJobs, '4', 4],
    [parseLevel, '19', 19],
    [parsePercent, '5', 5],
    [parsePercent, '0.5%', 0.5],
    [parseXid, '18446744073709551615', '18446744073709551615'],
    [parseRestorePoint, 'ä'.repeat(31), 'ä'.repeat(31)],
    [parseTimelineChoice, 'latest', 'latest'],
    [parseTimelineChoice, '7', 7],
    [parseTimelineChoice, '0000000A', 10],
    [parseTimelineChoice, '0x1f', 31],
    [parseBackupId, '20261122T191500Z-F', '20261122T191500Z-F'],
    [parseSegment, '000000010000000000000005', '000000010000000000000005'],
    [parseIncarnation, '7432109876543210987-18', '7432109876543210987-18'],
    [parsePath, '/a/../b', '/b'],
    [parseSetting, 'Work_Mem = 64MB', { name: 'work_mem', value: ' 64MB' }],
    [parseSetting, 'a.b=x=y', { name: 'a.b', value: 'x=y' }],
    [parseMapping, 'fast disk=/mnt/a', { name: 'fast disk', value: '/mnt/a' }],
    [parseBackupName, 'before the move', 'before the move'],
  ])('%o reads %j', (parse: (text: string) => unknown, text, value) => {
    expect(parse(text)).toEqual(value);
  });

  test.each([
    [parseJobs, '0'],
    [parseJobs, '1.5'],
    [parseJobs, '129'],
    [parseJobs, ''],
    [parseLevel, '20'],
    [parseLevel, '-1'],
    [parsePercent, '0'],
    [parsePercent, '101'],
    [parsePercent, '1e1'],
    [parseXid, '2'],
    [parseXid, '18446744073709551616'],
    [parseXid, '0x10'],
    [parseRestorePoint, ''],
    [parseRestorePoint, 'ä'.repeat(32)],
    [parseTimelineChoice, '0'],
    [parseTimelineChoice, 'newest'],
    [parseBackupId, '20261122T191500Z'],
    [parseBackupId, '../../etc'],
    [parseSegment, '000000010000000000000005.partial'],
    [parseIncarnation, '../7-18'],
    [parsePath, ''],
    [parsePath, 'a\0b'],
    [parseSetting, 'work_mem'],
    [parseSetting, '1x=2'],
    [parseMapping, 'fast=relative'],
    [parseMapping, '=/x'],
    [parseBackupName, ''],
    [parseBackupName, 'two\nlines'],
  ])('%o refuses %j', (parse: (text: string) => unknown, text) => {
    expect(() => parse(text)).toThrow(Error);
  });
});
