import { expect, test } from 'vitest';
import type { ItemResult } from './copy-messages.ts';
import { PackNames } from './pack-names.ts';

const facts = { mode: 0o600, sizeBytes: 8192, modifiedMs: 0, identity: null } as const;

test('extents of all results name the same packs as before', () => {
  const results: ItemResult[] = [
    {
      path: 'base/5/1',
      readBytes: 8192,
      cutAt: null,
      entry: {
        ...facts,
        kind: 'relation',
        path: 'base/5/1',
        extents: [
          { firstBlock: 0, pages: 1, pack: 'a', frame: 1, position: 2 },
          { firstBlock: 1, pages: 1, pack: 'b', frame: 3, position: 4 },
        ],
      },
    },
    { path: 'base/5/2', readBytes: 0, cutAt: null, entry: null },
    {
      path: 'base/5/3',
      readBytes: 10,
      cutAt: null,
      entry: {
        ...facts,
        kind: 'file',
        path: 'base/5/3',
        hash: new Uint8Array(32),
        extents: [{ bytes: 10, pack: 'a', frame: 5, position: 6 }],
      },
    },
    {
      path: 'base',
      readBytes: 0,
      cutAt: null,
      entry: { kind: 'directory', path: 'base', mode: 0o700, sizeBytes: 0, modifiedMs: 0 },
    },
  ];
  const before = structuredClone(results);
  new PackNames().unite(results);
  expect(results).toEqual(before);
});
