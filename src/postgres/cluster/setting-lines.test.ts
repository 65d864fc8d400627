import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { formatSettings, quoteSetting } from './setting-lines.ts';

/** `GUC_scanstr` of src/backend/utils/misc/guc-file.l, for what we write. */
function scan(quoted: string): string {
  return quoted
    .slice(1, -1)
    .replaceAll(/\\(.)|''/g, (_all, escaped?: string) =>
      escaped === undefined ? "'" : escaped === 'n' ? '\n' : escaped === 'r' ? '\r' : escaped,
    );
}

describe('writing settings', () => {
  test('one line each, in order', () => {
    const lines = formatSettings([
      { name: 'archive_mode', value: 'off' },
      { name: 'walnut.note', value: "it's C:\\x" },
    ]);
    expect(lines).toBe("archive_mode = 'off'\nwalnut.note = 'it''s C:\\\\x'\n");
  });

  test('any value stays on its line, within the lexer of the server, and is read back the same', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', "'", '\\', '\n', '\r', 'n', '#', '%') }),
        (value) => {
          const quoted = quoteSetting(value);
          expect(quoted).toMatch(/^'([^'\\\n\r]|\\.|'')*'$/);
          expect(scan(quoted)).toBe(value);
        },
      ),
    );
  });

  test.each(['', 'a b', "x'", 'a=b', '1a', 'a..b', 'a\nb', 'a.'])('%j is no name', (name) => {
    expect(() => formatSettings([{ name, value: '' }])).toThrow(/no setting's name/);
  });

  test('a NUL byte has no place in a file', () => {
    expect(() => quoteSetting('a\0b')).toThrow(/NUL byte/);
  });
});
