import { describe, expect, test } from 'vitest';

import { parseLsn } from '../lsn.ts';
import { toTimelineId } from '../timeline-id.ts';
import {
  formatRecoverySettings,
  recoverySettings,
  type RecoverySettingsOptions,
  type RecoverySettingsTarget,
} from './recovery-settings.ts';

const BASE: RecoverySettingsOptions = {
  target: { kind: 'latest' },
  action: 'promote',
  timeline: toTimelineId(3),
  restoreCommand: "'/opt/walnut' wal fetch shop %f %p",
  archiveMode: 'off',
};

const TARGETS = [
  'recovery_target',
  'recovery_target_time',
  'recovery_target_lsn',
  'recovery_target_xid',
  'recovery_target_name',
];

function settingsOf(changes: Partial<RecoverySettingsOptions>): Map<string, string> {
  return new Map(recoverySettings({ ...BASE, ...changes }).map(({ name, value }) => [name, value]));
}

describe('recovery settings', () => {
  test.each<[string, RecoverySettingsTarget, [string, string]]>([
    ['recovery_target', { kind: 'immediate' }, ['immediate', 'on']],
    [
      'recovery_target_time',
      { kind: 'time', micros: 1_795_374_930_123_456n, inclusive: true },
      ['2026-11-22 19:15:30.123456+00', 'on'],
    ],
    [
      'recovery_target_time',
      { kind: 'time', micros: -1n, inclusive: false },
      ['1969-12-31 23:59:59.999999+00', 'off'],
    ],
    [
      'recovery_target_lsn',
      { kind: 'lsn', lsn: parseLsn('16/B374D848'), inclusive: false },
      ['16/B374D848', 'off'],
    ],
    [
      'recovery_target_xid',
      { kind: 'xid', xid: 4_294_967_999n, inclusive: true },
      ['4294967999', 'on'],
    ],
    ['recovery_target_name', { kind: 'name', name: "before 'it'" }, ["before 'it'", 'on']],
  ])('fill %s and empty the others before it', (name, target, [value, inclusive]) => {
    const settings = recoverySettings({ ...BASE, target, action: 'pause' });
    const targets = settings.filter((setting) => TARGETS.includes(setting.name));
    expect(targets.at(-1)).toEqual({ name, value });
    expect(targets.slice(0, -1).map((setting) => setting.value)).toEqual(['', '', '', '']);
    expect(targets.map((setting) => setting.name).toSorted()).toEqual(TARGETS.toSorted());
    expect(settings).toContainEqual({ name: 'recovery_target_inclusive', value: inclusive });
    expect(settings).toContainEqual({ name: 'recovery_target_action', value: 'pause' });
    expect(settings).toContainEqual({ name: 'recovery_target_timeline', value: '3' });
    expect(settings).toContainEqual({ name: 'hot_standby', value: 'on' });
  });

  test('to the end of WAL empty all five, and only promote', () => {
    const settings = settingsOf({});
    expect(TARGETS.map((name) => settings.get(name))).toEqual(['', '', '', '', '']);
    expect(settings.has('hot_standby')).toBe(false);
    expect(() => settingsOf({ action: 'pause' })).toThrow(/promotes/);
    expect(() => settingsOf({ action: 'shutdown' })).toThrow(/promotes/);
  });

  test('cut the copy off from production', () => {
    const settings = settingsOf({});
    for (const name of [
      'primary_conninfo',
      'primary_slot_name',
      'synchronous_standby_names',
      'archive_cleanup_command',
      'recovery_end_command',
    ]) {
      expect(settings.get(name)).toBe('');
    }
    expect(settings.get('recovery_min_apply_delay')).toBe('0');
    expect(settings.get('archive_mode')).toBe('off');
    expect(settingsOf({ archiveMode: 'preserve' }).has('archive_mode')).toBe(false);
  });

  test('of a standby name its primary and follow the newest timeline', () => {
    const settings = settingsOf({
      timeline: 'latest',
      primaryConninfo: 'host=db1',
      primarySlotName: 'shop',
    });
    expect(settings.get('recovery_target_timeline')).toBe('latest');
    expect(settings.get('primary_conninfo')).toBe('host=db1');
    expect(settings.get('primary_slot_name')).toBe('shop');
  });

  test('are lines in quotes, those of the user last', () => {
    const text = formatRecoverySettings({
      ...BASE,
      extra: [{ name: 'archive_mode', value: 'on' }],
    });
    const lines = text.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^# /);
    expect(lines[1]).toBe("restore_command = '''/opt/walnut'' wal fetch shop %f %p'");
    expect(lines.at(-1)).toBe("archive_mode = 'on'");
    for (const line of lines.slice(1)) expect(line).toMatch(/^[a-z_]+ = '([^'\\]|'')*'$/);
  });

  test.each(['', 'x'.repeat(64), 'é'.repeat(32)])('%j cannot name a restore point', (name) => {
    expect(() => settingsOf({ target: { kind: 'name', name } })).toThrow(/1 to 63 bytes/);
  });

  test('an empty restore_command, with which a server would not start, is a bug', () => {
    expect(() => settingsOf({ restoreCommand: '' })).toThrow(/has a restore_command/);
  });
});
