import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ALLOWED_IMPORTS, ALLOWED_POSTGRES_IMPORTS } from './modules.ts';

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));
const ROOT = dirname(SOURCE);
const IMPORT =
  /\b(?:from|import)\s*\(?\s*'(\.[^']+)'|new URL\(\s*'(\.[^']+)'|workerUrl\(\s*'([^']+)'/g;

const sourceFiles = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .toSorted();

type Edge = { readonly from: string; readonly to: string };

function edgesOf(file: string): Edge[] {
  const text = readFileSync(join(SOURCE, file), 'utf8');
  return [...text.matchAll(IMPORT)].map(([, imported, url, worker]) => ({
    from: file,
    to: relative(SOURCE, resolve(SOURCE, dirname(file), imported ?? url ?? `./${worker}.ts`)),
  }));
}

/** Tests and the suites they share may import anything, `test/support` and the sandbox included. */
const isTest = (path: string): boolean => /\.test(-suite)?\.ts$/.test(path);

/** Of the files that make the product. */
const edges = sourceFiles
  .filter((file) => !isTest(file))
  .flatMap(edgesOf)
  .filter(({ to }) => !to.startsWith('../build/'));
const folder = (path: string, level = 0): string => path.split('/')[level] ?? '';

function offences(): string[] {
  return edges
    .filter(({ from, to }) => folder(from) !== folder(to))
    .filter(({ from, to }) => !(ALLOWED_IMPORTS[folder(from)] ?? []).includes(folder(to)))
    .map(({ from, to }) => `${from} imports ${to}`);
}

function postgresOffences(): string[] {
  const inside = (path: string): string =>
    folder(path) === 'postgres' && path.split('/').length > 2 ? folder(path, 1) : '';
  return edges
    .filter(
      ({ from, to }) => inside(from) !== '' && inside(to) !== '' && inside(from) !== inside(to),
    )
    .filter(({ from, to }) => !(ALLOWED_POSTGRES_IMPORTS[inside(from)] ?? []).includes(inside(to)))
    .map(({ from, to }) => `${from} imports ${to}`);
}

describe('the house', () => {
  test('every import follows the one table', () => {
    expect(offences()).toEqual([]);
  });

  test('inside postgres/ the folders keep their direction', () => {
    expect(postgresOffences()).toEqual([]);
  });

  test('every import stays inside src/ and names an existing file', () => {
    const broken = edges.filter(({ to }) => to.startsWith('..') || !existsSync(join(SOURCE, to)));
    expect(broken).toEqual([]);
  });

  test('no file of the product imports a test', () => {
    expect(edges.filter(({ to }) => isTest(to))).toEqual([]);
  });

  test('every folder under src/ has its row, and every row its folder', () => {
    const folders = new Set(sourceFiles.map((file) => folder(file)));
    expect([...folders].toSorted()).toEqual(Object.keys(ALLOWED_IMPORTS).toSorted());
  });

  test('no source file is longer than 400 lines', () => {
    const long = sourceFiles
      .filter((file) => !isTest(file))
      .map((file) => ({ file, lines: readFileSync(join(SOURCE, file), 'utf8').split('\n').length }))
      .filter(({ lines }) => lines > 401);
    expect(long).toEqual([]);
  });

  test('ARCHITECTURE.md shows the table as it is', () => {
    const rows = Object.entries(ALLOWED_IMPORTS).map(
      ([module, imports]) => `| \`${module}\` | ${imports.join(', ') || '–'} |`,
    );
    const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
    expect(rows.filter((row) => !text.includes(row))).toEqual([]);
  });
});
