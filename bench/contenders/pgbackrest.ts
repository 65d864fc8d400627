import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../../src/sandbox/run-program.ts';
import type { Attempt, Contender, PreparedCommand } from './contender.ts';

const STANZA = 'bench';
const PREPARE_TIMEOUT_MS = 60_000;

export async function pgbackrestContender(program: string): Promise<Contender> {
  const version = await runProgram(program, ['version'], { timeoutMs: PREPARE_TIMEOUT_MS });
  return {
    name: 'pgbackrest',
    version: version.trim(),
    setUp:
      '`process-max` = jobs, `compress-type=zst`, `repo1-bundle=y`, `repo1-block=y`, `start-fast=y`, `archive-copy=n`, WAL by `archive-push`',
    prepareBackup: async (attempt) => {
      const config = await writeConfiguration(attempt);
      const { user } = attempt.cluster.server;
      await runProgram(program, [...common(config), 'stanza-create'], {
        user,
        folder: attempt.folder,
        timeoutMs: PREPARE_TIMEOUT_MS,
      });
      await attempt.cluster.archiveWith(`${program} ${common(config).join(' ')} archive-push %p`);
      return { command: [program, ...common(config), '--type=full', 'backup'] };
    },
    prepareRestore: async (attempt, target): Promise<PreparedCommand> => ({
      command: [
        program,
        ...common(join(attempt.folder, 'pgbackrest.conf')),
        `--pg1-path=${target}`,
        '--type=immediate',
        'restore',
      ],
    }),
    storedFolder: ({ folder }) => join(folder, 'repository', 'backup'),
  };
}

function common(config: string): string[] {
  return [`--config=${config}`, `--stanza=${STANZA}`];
}

async function writeConfiguration({ cluster, folder, level, jobs }: Attempt): Promise<string> {
  const { server } = cluster;
  const path = join(folder, 'pgbackrest.conf');
  const lines = [
    '[global]',
    `repo1-path=${join(folder, 'repository')}`,
    'repo1-bundle=y',
    'repo1-block=y',
    'repo1-retention-full=2',
    'compress-type=zst',
    `compress-level=${level}`,
    `process-max=${jobs}`,
    'start-fast=y',
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
  await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o644 });
  return path;
}
