import { describe, expect, test } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

describe('editDistance', () => {
  test.each([
    ['', '', 0],
    ['slot', 'slot', 0],
    ['slto', 'slot', 1],
    ['slt', 'slot', 1],
    ['sloot', 'slot', 1],
    ['slat', 'slot', 1],
    ['kitten', 'sitting', 3],
    ['abc', '', 3],
  ])('from %j to %j are %i edits', (first, second, distance) => {
    expect(editDistance(first, second)).toBe(distance);
    expect(editDistance(second, first)).toBe(distance);
  });
});

describe('nearest', () => {
  const keys = ['connection', 'data_directory', 'repository', 'slot'];

  test.each([
    ['conection', 'connection'],
    ['data_dir', null],
    ['datadirectory', 'data_directory'],
    ['REPOSITORY', 'repository'],
    ['slto', 'slot'],
    ['banana', null],
    ['x', null],
  ])('%s means %s', (word, found) => {
    expect(nearest(word, keys)).toBe(found);
  });
});
