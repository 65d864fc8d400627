import fc from 'fast-check';
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { findPositions, positionKey } from './toml-positions.ts';

function at(text: string, ...path: string[]): string | undefined {
  const position = findPositions(text).get(positionKey(path));
  return position === undefined ? undefined : `${position.line}:${position.column}`;
}

const DOCUMENT = `# first line
title = "a # no comment" # one
[repository.main]
  url = 'file:///x'
[ server . "shop" ]
connection = """
[server.trap]
slot = "no key"
"""
jobs=2
retention.keep = { full = 2,
  daily = 7, nested = { deep = [1, { x = 1 }] } }
list = [ "a]", 'b}',
  3 ]
when = 2026-11-22 19:15:00
[[many]]
last = true`;

describe('findPositions', () => {
  test.each([
    ['title', ['title'], '2:1'],
    ['a table', ['repository', 'main'], '3:13'],
    ['an indented key', ['repository', 'main', 'url'], '4:3'],
    ['a quoted name with blanks around', ['server', 'shop'], '5:12'],
    ['a multi-line string', ['server', 'shop', 'connection'], '6:1'],
    ['a key without blanks', ['server', 'shop', 'jobs'], '10:1'],
    ['a dotted key', ['server', 'shop', 'retention', 'keep'], '11:11'],
    ['a key in an inline table', ['server', 'shop', 'retention', 'keep', 'full'], '11:20'],
    ['… on its second line', ['server', 'shop', 'retention', 'keep', 'daily'], '12:3'],
    ['… two levels down', ['server', 'shop', 'retention', 'keep', 'nested', 'deep'], '12:25'],
    ['a key after lists', ['server', 'shop', 'when'], '15:1'],
    ['a key of an array of tables', ['many', 'last'], '17:1'],
  ])('finds %s', (_, path, position) => {
    expect(() => parse(DOCUMENT)).not.toThrow();
    expect(at(DOCUMENT, ...path)).toBe(position);
  });

  test('takes nothing inside strings and comments for a key', () => {
    expect(at(DOCUMENT, 'server', 'trap')).toBeUndefined();
    expect(at(DOCUMENT, 'server', 'shop', 'slot')).toBeUndefined();
  });

  test('ends on any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('[]{}=.,"\'#\n a1')) }),
        (text) => {
          expect(findPositions(text).size).toBeLessThanOrEqual(text.length);
        },
      ),
    );
  });
});
