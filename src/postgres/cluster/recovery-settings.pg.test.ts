import { chmod, cp, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { adoptCluster, testCluster, type TestCluster } from '../../../test/support/cluster.ts';
import { versions } from '../../../test/support/matrix.ts';
import { runProgram } from '../../sandbox/run-program.ts';
import { parseLsn } from '../lsn.ts';
import { toTimelineId } from '../timeline-id.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { parseControlFile } from './control-file.ts';
import { minimalConfiguration } from './minimal-configuration.ts';
import {
  formatRecoverySettings,
  type RecoverySettingsOptions,
  type RecoverySettingsTarget,
} from './recovery-settings.ts';

const NAME = 'before "it\'s" 100 % \\ done';
/** What a copy of a standby may bring along. */
const BROUGHT_ALONG = `
recovery_target_xid = '12345'
primary_conninfo = 'host=production'
primary_slot_name = 'production'
archive_cleanup_command = 'exit 1'
recovery_min_apply_delay = '4h'
archive_mode = 'on'
archive_command = 'false'
synchronous_standby_names = '*'
`;

const TARGETS: [RecoverySettingsTarget, string, string][] = [
  [{ kind: 'latest' }, 'recovery_target', ''],
  [{ kind: 'immediate' }, 'recovery_target', 'immediate'],
  [
    { kind: 'time', micros: 1_795_374_930_123_456n, inclusive: true },
    'recovery_target_time',
    '2026-11-22 19:15:30.123456+00',
  ],
  [
    { kind: 'lsn', lsn: parseLsn('16/B374D848'), inclusive: false },
    'recovery_target_lsn',
    '16/B374D848',
  ],
  [{ kind: 'xid', xid: 4000, inclusive: true }, 'recovery_target_xid', '4000'],
  [{ kind: 'name', name: NAME }, 'recovery_target_name', NAME],
];

function options(target: RecoverySettingsTarget, restoreCommand: string): RecoverySettingsOptions {
  const action = target.kind === 'latest' ? 'promote' : 'pause';
  return { target, action, timeline: toTimelineId(1), restoreCommand, archiveMode: 'off' };
}

/** A setting as the server reads it from the cluster's files. */
async function readSetting(cluster: TestCluster, name: string): Promise<string> {
  const { binaries, user } = cluster.server;
  const output = await runProgram(
    join(binaries.binFolder, 'postgres'),
    ['-C', name, '-D', cluster.dataFolder],
    { user, timeoutMs: 20_000 },
  );
  return output.replace(/\n$/, '');
}

describe.each(versions([13, 15, 18], SUPPORTED_MAJORS))(
  'recovery settings on version %i',
  (major) => {
    test('are read as they were meant, and reach a restore point of any name', async () => {
      await using cluster = await testCluster({ major, settings: { wal_level: 'replica' } });
      await cluster.server.stop();
      const copyFolder = join(cluster.workFolder, 'copy');
      await cp(cluster.dataFolder, copyFolder, { recursive: true, verbatimSymlinks: true });
      await chmod(copyFolder, 0o700);

      await cluster.server.start();
      await cluster.sql('create table before_it ()');
      await cluster.sql('select pg_create_restore_point($1)', { parameters: [NAME] });
      await cluster.sql('create table after_it ()');
      await cluster.server.stop();

      await using copy = await adoptCluster({ major, dataFolder: copyFolder });
      const automatic = join(copyFolder, 'postgresql.auto.conf');
      const restoreCommand = `cp '${cluster.dataFolder}/pg_wal/'%f %p`;
      for (const [target, name, value] of TARGETS) {
        const text = formatRecoverySettings(options(target, restoreCommand));
        await writeFile(automatic, `${BROUGHT_ALONG}${text}`);
        expect(await readSetting(copy, name)).toBe(value);
        expect(await readSetting(copy, 'restore_command')).toBe(restoreCommand);
        expect(await readSetting(copy, 'primary_conninfo')).toBe('');
      }

      await writeFile(join(copyFolder, 'recovery.signal'), '');
      await copy.server.start();
      await expect
        .poll(async () => await copy.value('select pg_is_wal_replay_paused()'), { timeout: 30_000 })
        .toBe('true');
      const [row] = await copy.sql(
        "select to_regclass('before_it') is not null as before, to_regclass('after_it') is null as after",
      );
      expect(row).toEqual({ before: true, after: true });
      expect(await copy.value('show archive_mode')).toBe('off');
      await copy.server.promote();
      await copy.sql('create table afterwards ()');
    });

    test('a minimal configuration starts the cluster', async () => {
      await using cluster = await testCluster({ major, settings: { max_connections: 123 } });
      const rows = await cluster.sql<{ name: string; setting: string }>(
        'select name, setting from pg_settings',
      );
      await cluster.server.stop();
      const files = minimalConfiguration({
        settings: new Map(rows.map(({ name, setting }) => [name, setting])),
        required: parseControlFile(await readFile(join(cluster.dataFolder, 'global/pg_control')))
          .requiredSettings,
        // The socket tells the server who this process is.
        owner: userInfo().username,
        superuser: 'postgres',
      });
      await writeFile(join(cluster.dataFolder, 'postgresql.conf'), files.postgresqlConf);
      await writeFile(join(cluster.dataFolder, 'pg_hba.conf'), files.pgHbaConf);
      await writeFile(join(cluster.dataFolder, 'pg_ident.conf'), files.pgIdentConf);
      await cluster.server.start();
      expect(await cluster.value('show max_connections')).toBe('123');
      const problems = await cluster.sql(
        'select error from pg_hba_file_rules where error is not null',
      );
      expect(problems).toEqual([]);
      expect(await cluster.value('show listen_addresses')).not.toBe('*');
    });
  },
);
