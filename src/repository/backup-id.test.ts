import { describe, expect, test } from 'vitest';
import { backupIdOf, isBackupId, newBackupStamp, type BackupId } from './backup-id.ts';

const at = (text: string): Date => new Date(text);
const ids = (...texts: string[]): BackupId[] => texts as BackupId[];

describe('a backup id', () => {
  test('is the UTC second and the letter of the type', () => {
    const now = at('2026-11-22T19:15:00.900Z');
    expect(backupIdOf(newBackupStamp(now, []), 'full')).toBe('20261122T191500Z-F');
    expect(backupIdOf(newBackupStamp(now, []), 'incremental')).toBe('20261122T191500Z-I');
  });

  test('takes the next free second when its own is taken, whatever the type', () => {
    const taken = ids('20261122T191500Z-F', '20261122T191501Z-D');
    expect(newBackupStamp(at('2026-11-22T19:15:00Z'), taken)).toBe('20261122T191502Z');
  });

  test('never sorts before an older backup when the clock has jumped back', () => {
    const taken = ids('20261122T191500Z-F');
    expect(newBackupStamp(at('2026-11-22T18:00:00Z'), taken)).toBe('20261122T191501Z');
  });

  test.each([
    '20261122T191500Z-X',
    '20261322T191500Z-F',
    '2026-11-22',
    '',
    '../20261122T191500Z-F',
  ])('rejects %j', (text) => {
    expect(isBackupId(text)).toBe(false);
  });
});
