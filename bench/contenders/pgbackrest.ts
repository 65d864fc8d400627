import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../../src/sandbox/run-program.ts';
import type { Attempt, Contender, PreparedCommand } from './contender.ts';

const STANZA = 'bench';
const PREPARE_TIMEOUT_MS = 60_000;

export async function pgbackrestContender(program: string): Promise<Contender> {
  const version = await runProgram(program, ['version'], { timeoutMs: PREPARE_TIMEOUT_MS });
  const words = (attempt: Attempt, ...command: string[]): string[] => [
    program,
    `--config=${configPath(attempt)}`,
    `--stanza=${STANZA}`,
    ...command,
  ];
  const restore = (attempt: Attempt, target: string): PreparedCommand => ({
    command: words(attempt, `--pg1-path=${target}`, '--type=immediate', 'restore'),
  });
  return {
    name: 'pgbackrest',
    version: version.trim(),
    setUp:
      '`process-max` = jobs, `compress-type=zst`, `repo1-bundle=y`, `repo1-block=y`, `start-fast=y`, `archive-copy=n`, WAL by `archive-push` with `archive-async=y`',
    prepare: async (attempt) => {
      await writeFile(configPath(attempt), configuration(attempt), { mode: 0o644 });
      const { user } = attempt.cluster.server;
      const [, ...rest] = words(attempt, 'stanza-create');
      const { folder } = attempt;
      await runProgram(program, rest, { user, folder, timeoutMs: PREPARE_TIMEOUT_MS });
    },
    archiveCommand: (attempt) => words(attempt, 'archive-push', '%p').join(' '),
    backup: (attempt, kind) => ({
      command: words(attempt, `--type=${kind === 'full' ? 'full' : 'incr'}`, 'backup'),
    }),
    restore,
    storedFolder: ({ folder }) => join(folder, 'repository', 'backup'),
    extras: {
      'list the backups': (attempt) => ({ command: words(attempt, 'info') }),
    },
  };
}

function configPath({ folder }: Attempt): string {
  return join(folder, 'pgbackrest.conf');
}

function configuration({ cluster, folder, level, jobs }: Attempt): string {
  const { server } = cluster;
  const lines = [
    '[global]',
    `repo1-path=${join(folder, 'repository')}`,
    'repo1-bundle=y',
    'repo1-block=y',
    'repo1-retention-full=9',
    'compress-type=zst',
    `compress-level=${level}`,
    `process-max=${jobs}`,
    'start-fast=y',
    'archive-async=y',
    'archive-copy=n',
    'log-level-console=warn',
    'log-level-file=off',
    `lock-path=${join(folder, 'lock')}`,
    `spool-path=${join(folder, 'spool')}`,
    `[${STANZA}]`,
    `pg1-path=${server.dataFolder}`,
    `pg1-socket-path=${server.socketFolder}`,
    `pg1-port=${server.socketPort}`,
    'pg1-user=postgres',
  ];
  return `${lines.join('\n')}\n`;
}
