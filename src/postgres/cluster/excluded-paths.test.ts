import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import {
  excludedRelations,
  isEmptiedFolder,
  isExcludedName,
  keptWalFolders,
} from './excluded-paths.ts';
import { TarReader } from './tar-reader.ts';

describe('what a backup leaves out', () => {
  test.each([
    'pg_wal',
    'pg_stat_tmp',
    'pg_replslot',
    'pg_dynshmem',
    'pg_notify',
    'pg_serial',
    'pg_snapshots',
    'pg_subtrans',
    'anywhere/pg_notify',
  ])('the folder %s is kept empty', (path) => {
    expect(isEmptiedFolder(path)).toBe(true);
  });

  test.each(['base', 'pg_xact', 'pg_stat', 'pg_tblspc', 'pg_logical/snapshots', 'x/pg_wal', 'log'])(
    'the folder %s is kept whole',
    (path) => {
      expect(isEmptiedFolder(path)).toBe(false);
    },
  );

  test('stats_temp_directory counts where the server has one', () => {
    expect(isEmptiedFolder('stats/tmp')).toBe(false);
    expect(isEmptiedFolder('stats/tmp', 'stats/tmp')).toBe(true);
  });

  test('pg_wal keeps its own folders', () => {
    expect(keptWalFolders(16)).toEqual(['pg_wal/archive_status']);
    expect(keptWalFolders(17)).toEqual(['pg_wal/archive_status', 'pg_wal/summaries']);
  });

  test.each([
    'postgresql.auto.conf.tmp',
    'current_logfiles.tmp',
    'backup_label',
    'tablespace_map',
    'backup_manifest',
    'postmaster.pid',
    'postmaster.opts',
    'global/pg_internal.init',
    'base/5/pg_internal.init.1234',
    'base/pgsql_tmp',
    'base/pgsql_tmp/pgsql_tmp1234.0',
    'pg_tblspc/16400/PG_18_202506291/pgsql_tmp',
    'base/5/.DS_Store',
  ])('%s is left out', (path) => {
    expect(isExcludedName(path)).toBe(true);
  });

  test.each([
    'postgresql.auto.conf',
    'current_logfiles',
    'backup_label.old',
    'tablespace_map.old',
    'recovery.signal',
    'standby.signal',
    'server.key',
    'postmaster.pid.old',
    'log/postgresql.log',
    'base/5/1255',
  ])('%s is kept', (path) => {
    expect(isExcludedName(path)).toBe(false);
  });

  const names = [
    '16384',
    '16384.1',
    '16384_fsm',
    '16384_vm',
    '16384_init',
    '16385',
    '16385_init.1',
    '163840',
    't3_16386',
    't3_16386_vm.1',
    'PG_VERSION',
  ];
  const expected = ['16384', '16384.1', '16384_fsm', '16384_vm', 't3_16386', 't3_16386_vm.1'];

  test.each(['base/5', 'pg_tblspc/16400/PG_18_202506291/5'])(
    'temporary relations and all but the init fork of unlogged ones in %s',
    (folder) => {
      expect(names.filter(excludedRelations(folder, names)).toSorted()).toEqual(
        expected.toSorted(),
      );
    },
  );

  test.each(['', 'pg_xact', 'log', 'base/5/sub'])('nothing by such names in %j', (folder) => {
    expect(names.filter(excludedRelations(folder, names))).toEqual([]);
  });

  test.each(SUPPORTED_MAJORS)('nothing that a server of version %i itself sends', (major) => {
    const paths: string[] = [];
    for (const event of new TarReader().feed(readClusterFixture(major, 'base.tar.zst'))) {
      if (event.kind === 'entry') paths.push(event.entry.path);
    }
    // The label and the map are made for the backup; they are not copied.
    expect(paths.filter(isExcludedName)).toEqual(['backup_label', 'tablespace_map']);
    expect(paths.filter((path) => isEmptiedFolder(path))).toHaveLength(8);
    const inEmptied = paths.filter((path) => isEmptiedFolder(path.replace(/\/?[^/]*$/, '')));
    expect(inEmptied.toSorted()).toEqual(keptWalFolders(major));
  });
});
