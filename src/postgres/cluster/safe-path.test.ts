import { join, sep } from 'node:path';

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { requireSafePath, unsafePathReason } from './safe-path.ts';

describe('a path from outside', () => {
  test.each(['PG_VERSION', 'base/1/1255_vm.1', 'log/a b\\c\nd', '..a/b..', '...', 'pg_tblspc/1/é'])(
    '%j is accepted',
    (path) => {
      expect(requireSafePath(path, 'a test')).toBe(path);
    },
  );

  test.each([
    ['', 'it is empty'],
    ['/etc/passwd', 'it is absolute'],
    ['..', 'it contains ".."'],
    ['../x', 'it contains ".."'],
    ['base/../../x', 'it contains ".."'],
    ['base/..', 'it contains ".."'],
    ['./x', 'it contains "."'],
    ['base/.', 'it contains "."'],
    ['base//x', 'it contains an empty component'],
    ['base/', 'it contains an empty component'],
    ['a\0b', 'it contains a NUL byte'],
    ['x'.repeat(5000), 'it is too long'],
  ])('%j is refused', (path, reason) => {
    expect(unsafePathReason(path)).toBe(reason);
    expect(() => requireSafePath(path, 'a test')).toThrow(`from a test: ${reason}`);
  });

  test('that is accepted stays below the folder it is joined to, and is its own normal form', () => {
    const part = fc.oneof(fc.constantFrom('', '.', '..', 'a', '...'), fc.string({ maxLength: 3 }));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const path = parts.join('/');
        if (unsafePathReason(path) !== null) return;
        expect(join('/folder', path)).toBe(`/folder${sep}${path}`);
      }),
    );
  });
});
