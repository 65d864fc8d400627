import { describe, expect, test } from 'vitest';
import { renderFields, renderTable } from './table.ts';

describe('renderTable', () => {
  test('aligns columns and leaves no blanks at the ends', () => {
    const table = renderTable(
      [{ title: 'id' }, { title: 'size', align: 'right' }, { title: 'note' }],
      [
        ['a', '1 B', 'short'],
        ['longer', '100 kB', ''],
      ],
    );
    expect(table.split('\n')).toEqual([
      'id        size  note',
      'a          1 B  short',
      'longer  100 kB',
    ]);
  });

  test('counts a combining accent as no column', () => {
    const [, first, second] = renderTable(
      [{ title: 'n' }, { title: 'x' }],
      [
        ['e\u0301', '1'],
        ['ab', '2'],
      ],
    ).split('\n');
    expect(first).toBe('e\u0301   1');
    expect(second).toBe('ab  2');
  });
});

test('renderFields puts values under one another', () => {
  expect(
    renderFields([
      ['id', '1'],
      ['started', '2'],
    ]),
  ).toBe('id       1\nstarted  2');
});
