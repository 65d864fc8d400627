import { expect, test } from 'vitest';
import { testMatrix } from './matrix.ts';
import { drawFrom, seededRandom } from './random.ts';

const CHOICES = ['local', 'connection', 'stream'] as const;
const drawOf = (seed: string, full = false): unknown[] =>
  testMatrix({ seed, full }).map(({ major, select }) => [major, select('source', CHOICES)]);

test('the oldest and the newest version run everything, those between one choice each', () => {
  const sizes = testMatrix({ seed: 'a', full: false }).map(({ major, extent, select }) => [
    major,
    extent,
    select('source', CHOICES).length,
  ]);
  expect(sizes).toEqual([
    [13, 'full', 3],
    [14, 'drawn', 1],
    [15, 'drawn', 1],
    [16, 'drawn', 1],
    [17, 'drawn', 1],
    [18, 'full', 3],
  ]);
});

test('a draw repeats for its seed, and other seeds reach every choice', () => {
  expect(drawOf('a')).toEqual(drawOf('a'));
  const drawn = Array.from({ length: 40 }, (_, seed) =>
    testMatrix({ seed: String(seed), full: false, majors: [15] }).flatMap(({ select }) =>
      select('source', CHOICES),
    ),
  );
  expect(new Set(drawn.flat())).toEqual(new Set(CHOICES));
});

test('the full matrix and a chosen version are what they say', () => {
  expect(drawOf('a', true)).toEqual([13, 14, 15, 16, 17, 18].map((major) => [major, CHOICES]));
  expect(testMatrix({ seed: 'a', full: false, majors: [16] }).map(({ major }) => major)).toEqual([
    16,
  ]);
});

test('drawn cases keep their order, are as many as asked, and reach every case', () => {
  const draws = Array.from({ length: 40 }, (_, seed) =>
    drawFrom([1, 2, 3, 4], 2, seededRandom(String(seed))),
  );
  for (const drawn of draws) {
    expect(drawn).toHaveLength(2);
    expect(drawn).toEqual(drawn.toSorted());
  }
  expect(new Set(draws.flat())).toEqual(new Set([1, 2, 3, 4]));
  expect(drawFrom([1, 2], 3, seededRandom('a'))).toEqual([1, 2]);
});
