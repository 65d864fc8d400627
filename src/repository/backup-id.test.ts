import { describe, expect, test } from 'vitest';
import { isBackupId, newBackupId, type BackupId } from './backup-id.ts';

const at = (text: string): Date => new Date(text);
const ids = (...texts: string[]): BackupId[] => texts as BackupId[];

describe('a backup id', () => {
  test('is the UTC second and the letter of the type', () => {
    const now = at('2026-11-22T19:15:00.900Z');
    expect(newBackupId('full', now, [])).toBe('20261122T191500Z-F');
    expect(newBackupId('incremental', now, [])).toBe('20261122T191500Z-I');
  });

  test('takes the next free second when its own is taken, whatever the type', () => {
    const taken = ids('20261122T191500Z-F', '20261122T191501Z-D');
    expect(newBackupId('full', at('2026-11-22T19:15:00Z'), taken)).toBe('20261122T191502Z-F');
  });

  test('never sorts before an older backup when the clock has jumped back', () => {
    const taken = ids('20261122T191500Z-F');
    expect(newBackupId('full', at('2026-11-22T18:00:00Z'), taken)).toBe('20261122T191501Z-F');
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
