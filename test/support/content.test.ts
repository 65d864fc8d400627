import { expect, test } from 'vitest';
import { contentDifferences, type ClusterContent, type DatabaseContent } from './content.ts';

const shop: DatabaseContent = {
  tables: {
    'public.orders': { rows: 2, checksum: 'a' },
    'public.empty': { rows: 0, checksum: '' },
  },
  largeObjects: { rows: 1, checksum: 'b' },
  sequences: { 'public.id': { at: 100, increment: 3 } },
  indexes: { 'public.orders_pkey': 'create' },
};
const expected: ClusterContent = { shop };
const at = (value: number): ClusterContent => ({
  shop: { ...shop, sequences: { 'public.id': { at: value, increment: 3 } } },
});

test('a sequence may run ahead by the 32 values that recovery skips, not further and not back', () => {
  expect(contentDifferences(expected, at(100))).toEqual([]);
  expect(contentDifferences(expected, at(196))).toEqual([]);
  expect(contentDifferences(expected, at(199))).toEqual([
    'shop: sequence public.id is at 199, was at 100',
  ]);
  expect(contentDifferences(expected, at(97))).toHaveLength(1);
});

test('every kind of difference is named', () => {
  const restored: ClusterContent = {
    shop: {
      tables: {
        'public.orders': { rows: 3, checksum: 'c' },
        'public.new': { rows: 0, checksum: '' },
      },
      largeObjects: { rows: 0, checksum: '' },
      sequences: {},
      indexes: { 'public.orders_pkey': 'create INVALID' },
    },
    other: shop,
  };
  expect(contentDifferences(expected, restored)).toEqual([
    'database other should not exist',
    'shop: table public.empty is missing',
    'shop: table public.new should not exist',
    'shop: table public.orders is {"rows":3,"checksum":"c"}, was {"rows":2,"checksum":"a"}',
    'shop: index public.orders_pkey is "create INVALID", was "create"',
    'shop: table pg_largeobject is {"rows":0,"checksum":""}, was {"rows":1,"checksum":"b"}',
    'shop: sequence public.id is missing',
  ]);
});
