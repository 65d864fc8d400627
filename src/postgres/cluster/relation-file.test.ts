import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { BackupManifestParser } from './backup-manifest.ts';
import { tablespaceVersionFolder } from './cluster-versions.ts';
import { classifyFile, formatRelationPath, RELATION_FORKS } from './relation-file.ts';

describe('classifying a file', () => {
  test.each([
    ['base/5/1255', [1663, 5, 1255, 'main', 0]],
    ['base/5/1255_vm', [1663, 5, 1255, 'vm', 0]],
    ['base/5/1255_fsm.1', [1663, 5, 1255, 'fsm', 1]],
    ['base/5/16384_init', [1663, 5, 16384, 'init', 0]],
    ['base/5/4294967295.131', [1663, 5, 4294967295, 'main', 131]],
    ['global/1262', [1664, 0, 1262, 'main', 0]],
    ['pg_tblspc/16400/PG_18_202506291/5/16385.2', [16400, 5, 16385, 'main', 2]],
  ] as const)('%s is a relation', (path, numbers) => {
    const [tablespaceOid, databaseOid, relfilenode, fork, segment] = numbers;
    expect(classifyFile(path)).toEqual({
      kind: 'relation',
      tablespaceOid,
      databaseOid,
      relfilenode,
      fork,
      segment,
      isTemporary: false,
    });
  });

  test.each(['base/5/t3_16385', 'base/5/t3_16385_fsm', 'base/5/t12_16385.1'])(
    '%s belongs to a temporary relation',
    (path) => {
      expect(classifyFile(path)).toMatchObject({ relfilenode: 16385, isTemporary: true });
    },
  );

  test.each([
    'PG_VERSION',
    'base/5/PG_VERSION',
    'base/5/pg_filenode.map',
    'base/5/01255',
    'base/5/0',
    'base/5/1255_vm2',
    'base/5/1255_',
    'base/5/1255.0',
    'base/5/1255.01',
    'base/5/1255.1.1',
    'base/5/1255.1_vm',
    'base/5/4294967296',
    'base/4294967296/1255',
    'base/5/t_1255',
    'base/5/x1255',
    'base/pgsql_tmp/1255',
    'base/05/1255',
    'base/1255',
    'base/5/6/1255',
    '1255',
    'global/1/1262',
    'pg_wal/1255',
    'pg_tblspc/16400/1255',
    'pg_tblspc/16400/5/1255',
    'pg_tblspc/x/PG_18_202506291/5/1255',
    '',
  ])('%j is no relation', (path) => {
    expect(classifyFile(path)).toEqual({ kind: 'other' });
  });

  test.each(SUPPORTED_MAJORS)('finds the relations in a backup of version %i', (major) => {
    const counts = { relation: 0, other: 0 };
    const tablespaces = new Set<number>();
    const parser = new BackupManifestParser(({ path, sizeBytes }) => {
      const file = classifyFile(path);
      counts[file.kind] += 1;
      if (file.kind === 'other') return;
      tablespaces.add(file.tablespaceOid);
      expect(sizeBytes % 8192).toBe(0);
      expect(formatRelationPath(file, tablespaceVersionFolder(major))).toBe(path);
    });
    parser.feed(readClusterFixture(major, 'backup_manifest.zst'));
    parser.end();
    expect(counts.relation).toBeGreaterThan(800);
    expect(counts.other).toBeLessThan(40);
    expect([...tablespaces]).toEqual(expect.arrayContaining([1663, 1664, 16384]));
  });

  test('paths go there and back', () => {
    const oid = fc.integer({ min: 1, max: 2 ** 32 - 1 });
    const file = fc.record({
      tablespaceOid: oid.filter((value) => value !== 1664),
      databaseOid: oid,
      relfilenode: oid,
      fork: fc.constantFrom(...RELATION_FORKS),
      segment: fc.nat(2 ** 31 - 1),
    });
    fc.assert(
      fc.property(file, (fields) => {
        const path = formatRelationPath(fields, 'PG_13_202007201');
        expect(classifyFile(path)).toEqual({ kind: 'relation', ...fields, isTemporary: false });
      }),
    );
  });
});
