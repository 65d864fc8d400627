import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { formatTablespaceMap, parseTablespaceMap } from './tablespace-map.ts';

describe('a tablespace_map', () => {
  test.each(SUPPORTED_MAJORS)('of version %i is read and written with its escapes', (major) => {
    const bytes = readClusterFixture(major, 'tablespace_map');
    const locations = parseTablespaceMap(bytes, major);
    const location = `/tmp/space ${major}\\x${major === 13 ? '' : '\ny'}`;
    expect(locations).toEqual([{ oid: 16384, location }]);
    expect(formatTablespaceMap(locations, major)).toBe(bytes.toString());
  });

  test('may be empty', () => {
    expect(parseTablespaceMap('', 18)).toEqual([]);
    expect(formatTablespaceMap([], 18)).toBe('');
  });

  test('of version 13 escapes line ends, but not backslashes', () => {
    const locations = [{ oid: 1, location: '/a\\\\b\\c\rd\ne' }];
    expect(formatTablespaceMap(locations, 13)).toBe('1 /a\\\\b\\c\\\rd\\\ne\n');
    expect(parseTablespaceMap(formatTablespaceMap(locations, 13), 13)).toEqual(locations);
  });

  test('survives a round trip with any path', () => {
    const location = fc.string({ unit: 'grapheme' }).map((rest) => `/${rest.replaceAll('\0', '')}`);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ oid: fc.integer({ min: 1, max: 2 ** 32 - 1 }), location }), {
          selector: ({ oid }) => oid,
        }),
        (locations) => {
          const written = Buffer.from(formatTablespaceMap(locations, 18));
          expect(parseTablespaceMap(written, 18)).toEqual(locations);
        },
      ),
    );
  });

  test.each([
    ['a line without path', '16384\n', /unreadable line/],
    ['a path without oid', '/srv/space\n', /unreadable line/],
    ['oid 0', '0 /srv/space\n', /unreadable line/],
    ['an oid beyond 32 bits', '4294967296 /srv/space\n', /unreadable line/],
    ['a relative path', '16384 srv/space\n', /is not absolute/],
    ['a NUL byte', '16384 /srv/\0\n', /is not absolute/],
    ['one tablespace twice', '16384 /srv/a\n16384 /srv/b\n', /stands twice/],
    ['a cut line', '16384 /srv/spa', /is cut/],
    ['a cut escape', '16384 /srv/spa\\', /is cut/],
  ])('with %s is refused', (_what, text, reason) => {
    expect(() => parseTablespaceMap(text, 18)).toThrow(reason);
  });
});
