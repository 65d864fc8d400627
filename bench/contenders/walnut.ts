import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRepository } from '../../src/repository/repository.ts';
import { isReachable } from '../../src/sandbox/reachability.ts';
import { giveToUser } from '../../src/sandbox/scratch-folder.ts';
import {
  createFilesystemFolder,
  openFilesystemStore,
} from '../../src/storage/filesystem/filesystem-store.ts';
import { buildIfOlder, withBuildLock } from '../../test/support/build-product.ts';
import type { BenchCluster } from '../bench-cluster.ts';
import type { Attempt, Contender, PreparedCommand } from './contender.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SERVER = 'bench';
const SLOT = 'bench_walnut';
const PRODUCT_PARTS = ['bin', 'dist', 'build', 'package.json'];

export async function walnutContender(cluster: BenchCluster): Promise<Contender> {
  const program = await stageProduct(cluster);
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  const run = (attempt: Attempt, ...words: string[]): PreparedCommand => ({
    env: { WALNUT_CONFIG: configPath(attempt) },
    command: [program, ...words, '--json'],
  });
  const restore = (attempt: Attempt, target: string, ...more: string[]): PreparedCommand =>
    run(attempt, 'restore', SERVER, '--target', target, '--to-immediate', ...more);
  return {
    name: 'walnut',
    version,
    setUp: '`--from local --jobs` = jobs, `--checkpoint fast`, WAL by `wal push --ahead`',
    prepare: makeRepository,
    archiveCommand: (attempt) =>
      `${program} --config ${configPath(attempt)} wal push ${SERVER} %p --ahead ${join(attempt.folder, 'spool', 'ahead')}`,
    backup: (attempt, kind) => {
      const { level, jobs } = attempt;
      const flags = ['--type', kind, '--from', 'local', '--jobs', `${jobs}`, '--level', `${level}`];
      return run(attempt, 'backup', SERVER, ...flags);
    },
    restore: (attempt, target) => restore(attempt, target, '--jobs', String(attempt.jobs)),
    storedFolder: ({ folder }) => join(folder, 'repository', SERVER, 'backup'),
    extras: {
      'list the backups': (attempt) => run(attempt, 'list', SERVER),
      'plan a restore': (attempt, target) => restore(attempt, target, '--dry-run'),
    },
    receive: (attempt) => ({ ...run(attempt, 'wal', 'receive', SERVER), slot: SLOT }),
    takeWal: (attempt, path) => run(attempt, 'wal', 'push', SERVER, path),
  };
}

function configPath({ folder }: Attempt): string {
  return join(folder, 'walnut.toml');
}

/** A copy of the built product, because the checkout may lie where the server's user cannot go, and be rebuilt. */
async function stageProduct({ toolFolder, server }: BenchCluster): Promise<string> {
  const folder = join(toolFolder, 'walnut');
  await mkdir(folder, { mode: 0o755 });
  await withBuildLock(ROOT, async () => {
    const problem = await buildIfOlder(ROOT);
    if (problem !== undefined) throw new Error(problem);
    for (const part of PRODUCT_PARTS) {
      await cp(join(ROOT, part), join(folder, part), { recursive: true });
    }
  });
  const dependencies = join(ROOT, 'node_modules');
  if (await isReachable(dependencies, server.user)) {
    await symlink(dependencies, join(folder, 'node_modules'));
  } else {
    await cp(dependencies, join(folder, 'node_modules'), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  return join(folder, 'bin', 'walnut');
}

async function makeRepository(attempt: Attempt): Promise<void> {
  const { cluster, folder } = attempt;
  const repository = { kind: 'filesystem', path: join(folder, 'repository') } as const;
  await createFilesystemFolder(repository);
  const store = await openFilesystemStore(repository);
  try {
    await createRepository(store, new Date());
  } finally {
    await store.close();
  }
  const lines = [
    '[repository.main]',
    `url = "file://${repository.path}"`,
    `[server.${SERVER}]`,
    `connection = "${cluster.server.connectionString()}"`,
    `data_directory = "${cluster.server.dataFolder}"`,
    'wal = "archive"',
    `slot = "${SLOT}"`,
    `spool_directory = "${join(folder, 'spool')}"`,
  ];
  await writeFile(configPath(attempt), `${lines.join('\n')}\n`, { mode: 0o600 });
  await giveToUser(folder, cluster.server.user);
}
