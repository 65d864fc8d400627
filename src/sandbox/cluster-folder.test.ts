import { expect, test } from 'vitest';
import { settingArguments, settingLines } from './cluster-folder.ts';

test('settings are quoted for the file and passed as they are on the command line', () => {
  const settings = { archive_command: `cp '%p' x`, fsync: false, port: 5432 };
  expect(settingLines(settings)).toBe(
    `archive_command = 'cp ''%p'' x'\nfsync = 'off'\nport = '5432'\n`,
  );
  expect(settingArguments(settings)).toEqual([
    '-c',
    `archive_command=cp '%p' x`,
    '-c',
    'fsync=off',
    '-c',
    'port=5432',
  ]);
});
