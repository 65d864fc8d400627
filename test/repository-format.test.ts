import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openObject, sealObject } from '../src/repository/sealed-object.ts';

const DOCUMENT = new URL('../docs/repository-format.md', import.meta.url);

/** The bytes of the hex dump in the document. */
function exampleBytes(): Buffer {
  const text = readFileSync(DOCUMENT, 'utf8');
  const lines = text.split('\n').filter((line) => /^[0-9a-f]{8}: /.test(line));
  return Buffer.from(lines.map((line) => line.slice(10, 49).replaceAll(' ', '')).join(''), 'hex');
}

describe('docs/repository-format.md', () => {
  test('shows an object exactly as Walnut writes and reads it', () => {
    const bytes = exampleBytes();
    const { plain } = openObject(bytes, 'descriptor', 'walnut.json');
    expect(JSON.parse(plain.toString())).toMatchObject({ version: 1 });
    expect(sealObject({ kind: 'descriptor', plain, level: 1 }).equals(bytes)).toBe(true);
  });
});
