import { describe, expect, test } from 'vitest';
import { parseLsn } from '../postgres/lsn.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { msToPostgresTime } from '../postgres/wal/postgres-time.ts';
import { recoveryOrder, type RecoveryEnd, type RecoveryOrder } from './recovery-end.ts';
import { restoreCommandSetting, restoreCommandWords } from './restore-command.ts';
import { changedSettings, restoredSettings } from './restored-settings.ts';
import type { RecoveryAction } from './restore-request.ts';
import type { RecoveryTarget } from './target.ts';

const END: RecoveryEnd = {
  timeline: toTimelineId(3),
  stopTimeline: toTimelineId(2),
  neededLsn: parseLsn('0/5000100'),
  lastSegment: '000000020000000000000005',
  lastCommit: null,
  recordLsn: parseLsn('0/50000D8'),
  by: 'record',
};
const timeUs = msToPostgresTime(Date.parse('2026-11-22T18:15:00Z')) + 123_456;
const TIME: RecoveryTarget = { kind: 'time', timeUs, inclusive: false };

function order(
  target: RecoveryTarget,
  end: Partial<RecoveryEnd> = {},
  wanted: RecoveryAction | null = null,
): RecoveryOrder {
  const consistentLsn = parseLsn('0/4000000');
  return recoveryOrder({ target, end: { ...END, ...end }, wanted, consistentLsn });
}

describe('what PostgreSQL is told', () => {
  test('latest is promoted without any target', () => {
    expect(order({ kind: 'latest' }, { by: 'end-of-wal' })).toEqual({
      target: { kind: 'latest' },
      action: 'promote',
    });
  });

  test.each(['pause', 'shutdown'] as const)('latest with %s becomes the last record', (action) => {
    expect(order({ kind: 'latest' }, { by: 'end-of-wal' }, action)).toEqual({
      target: { kind: 'lsn', lsn: END.recordLsn, inclusive: true },
      action,
    });
  });

  test('a time is kept to the microsecond, and pauses', () => {
    expect(order(TIME)).toEqual({
      target: { kind: 'time', micros: 1_795_371_300_123_456n, inclusive: false },
      action: 'pause',
    });
  });

  test('a pause at a time is one at the last commit before it, when that lies behind the backup', () => {
    const lastCommit = {
      lsn: parseLsn('0/5000080'),
      endLsn: parseLsn('0/50000A8'),
      timeUs,
      xid: 7,
    };
    const commit = { ...lastCommit, kind: 'commit' as const };
    expect(order(TIME, { lastCommit: commit }).target).toEqual({
      kind: 'lsn',
      lsn: commit.lsn,
      inclusive: true,
    });
    const early = { ...commit, lsn: parseLsn('0/3000080') };
    expect(order(TIME, { lastCommit: early }).target.kind).toBe('time');
  });

  test('a time behind the last commit becomes the last record, inclusive', () => {
    expect(order(TIME, { by: 'end-of-wal' }, 'promote')).toEqual({
      target: { kind: 'lsn', lsn: END.recordLsn, inclusive: true },
      action: 'promote',
    });
  });
});

describe('the settings of a restored server', () => {
  const plan = {
    request: { archiveMode: 'off' as const, settings: new Map<string, string>(), standby: false },
    end: END,
    order: order(TIME),
    restoreCommand: 'false',
  };
  const final = (parts: Partial<typeof plan> = {}): Map<string, string> =>
    new Map(restoredSettings({ ...plan, ...parts }).map(({ name, value }) => [name, value]));

  test('the timeline is a number; for a standby it is latest', () => {
    expect(final().get('recovery_target_timeline')).toBe('3');
    const standby = final({ request: { ...plan.request, standby: true } });
    expect(standby.get('recovery_target_timeline')).toBe('latest');
    expect(standby.get('hot_standby')).toBe('on');
  });

  test("the user's own settings come last and win", () => {
    const settings = new Map([['archive_mode', 'always']]);
    const names = restoredSettings({ ...plan, request: { ...plan.request, settings } });
    expect(names.at(-1)).toEqual({ name: 'archive_mode', value: 'always' });
  });

  test('what differs from the old server is told with the statement that undoes it', () => {
    const settings = { archive_mode: 'on', primary_conninfo: '', synchronous_standby_names: "a'b" };
    expect(changedSettings(restoredSettings(plan), { settings })).toEqual([
      {
        name: 'synchronous_standby_names',
        from: "a'b",
        to: '',
        undo: "ALTER SYSTEM SET synchronous_standby_names = 'a''b';",
      },
      {
        name: 'archive_mode',
        from: 'on',
        to: 'off',
        undo: "ALTER SYSTEM SET archive_mode = 'on';",
      },
    ]);
  });
});

describe('restore_command', () => {
  const wal = {
    mode: 'fetch' as const,
    segments: [],
    firstSegment: '000000010000000000000002',
    lastSegment: '000000020000000000000005',
    segmentBytes: 16_777_216,
    historyFiles: [],
  };
  const program = { shimPath: '/opt/walnut 100%/bin/shim', configPath: "/etc/o'brien.toml" };
  const facts = { server: 'shop', incarnation: '7-18', end: END, wal, standby: false };

  test('is quoted for the shell and for PostgreSQL', () => {
    expect(restoreCommandSetting(restoreCommandWords(program, facts))).toBe(
      `'/opt/walnut 100%%/bin/shim' --config '/etc/o'\\''brien.toml' --incarnation 7-18 ` +
        `--last-segment 000000020000000000000005 --last-timeline 3 shop "%f" "%p"`,
    );
  });

  test('of a standby has no end', () => {
    const words = restoreCommandWords(program, { ...facts, standby: true });
    expect(words).not.toContain('--last-segment');
  });
});
