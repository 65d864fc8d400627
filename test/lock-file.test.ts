import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { missingRows, type LockFile } from '../scripts/lock-file.ts';

const lock = JSON.parse(
  readFileSync(fileURLToPath(new URL('../package-lock.json', import.meta.url)), 'utf8'),
) as LockFile;

test('npm ci accepts the lock file: every optional package has its row (else: node scripts/complete-lock.ts)', () => {
  expect(missingRows(lock)).toEqual([]);
});

test('the lock file names no registry', () => {
  const named = Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined);
  expect(named).toEqual([]);
});

test('a missing row is found, and a nested or hoisted one is not missing', () => {
  const packages = {
    '': { optionalDependencies: { root: '1.0.0' } },
    'node_modules/a': { dev: true, optionalDependencies: { nested: '1.0.0', gone: '2.0.0' } },
    'node_modules/a/node_modules/nested': {},
    'node_modules/a/node_modules/b': { optionalDependencies: { nested: '1.0.0', root: '1.0.0' } },
    'node_modules/root': {},
  };
  expect(missingRows({ packages })).toEqual([
    { location: 'node_modules/gone', version: '2.0.0', dev: true },
  ]);
});
