import { join } from 'node:path';
import { runProgram } from '../../src/sandbox/run-program.ts';
import type { Contender } from './contender.ts';

const VERSION_TIMEOUT_MS = 20_000;

/** It has no restore of its own: `tar` and `zstd` unpack, and every file is synced as the other two do. */
const UNPACK =
  'tar -x --use-compress-program=zstd -f "$1"/base.tar.zst -C "$2" && ' +
  'tar -x -f "$1"/pg_wal.tar -C "$2"/pg_wal && find "$2" -type f -exec sync {} +';

export async function pgBasebackupContender(program: string): Promise<Contender> {
  const version = await runProgram(program, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  return {
    name: 'pg_basebackup',
    version: version.replace(/^.*\(PostgreSQL\) /, '').trim(),
    setUp:
      '`--format=tar --wal-method=stream --checkpoint=fast --compress=client-zstd:level=L,workers=jobs`; restored by `tar`, `zstd` and `sync`, which check nothing; full backups only',
    prepare: async () => {},
    archiveCommand: () => '/bin/true',
    backup: ({ cluster, folder, level, jobs }, kind) =>
      kind === 'incremental'
        ? null
        : {
            command: [
              program,
              `--dbname=${cluster.server.connectionString()}`,
              `--pgdata=${join(folder, 'backup')}`,
              '--format=tar',
              '--wal-method=stream',
              '--checkpoint=fast',
              `--compress=client-zstd:level=${level},workers=${jobs}`,
            ],
          },
    restore: ({ folder }, target) => ({
      command: ['/bin/sh', '-c', UNPACK, 'sh', join(folder, 'backup'), target],
    }),
    storedFolder: ({ folder }) => join(folder, 'backup'),
  };
}
