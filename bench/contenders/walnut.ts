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
import type { Attempt, Contender } from './contender.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SERVER = 'bench';
const PRODUCT_PARTS = ['bin', 'dist', 'build', 'package.json'];

export async function walnutContender(cluster: BenchCluster): Promise<Contender> {
  const program = await stageProduct(cluster);
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    version: string;
  };
  return {
    name: 'walnut',
    version,
    setUp: '`--from local --jobs` = jobs, `--checkpoint fast`, WAL by `wal push`',
    prepareBackup: async (attempt) => {
      const config = await makeRepository(attempt);
      const env = { WALNUT_CONFIG: config };
      await cluster.archiveWith(`${program} --config ${config} wal push ${SERVER} %p`);
      const { level, jobs } = attempt;
      const flags = [
        '--type',
        'full',
        '--from',
        'local',
        '--jobs',
        `${jobs}`,
        '--level',
        `${level}`,
      ];
      return { env, command: [program, 'backup', SERVER, ...flags, '--json'] };
    },
    prepareRestore: async ({ folder, jobs }, target) => ({
      env: { WALNUT_CONFIG: join(folder, 'walnut.toml') },
      command: [
        program,
        'restore',
        SERVER,
        '--target',
        target,
        '--to-immediate',
        '--jobs',
        String(jobs),
        '--json',
      ],
    }),
    storedFolder: ({ folder }) => join(folder, 'repository', SERVER, 'backup'),
  };
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

async function makeRepository({ cluster, folder }: Attempt): Promise<string> {
  const repository = { kind: 'filesystem', path: join(folder, 'repository') } as const;
  await createFilesystemFolder(repository);
  const store = await openFilesystemStore(repository);
  try {
    await createRepository(store, new Date());
  } finally {
    await store.close();
  }
  const config = join(folder, 'walnut.toml');
  const lines = [
    '[repository.main]',
    `url = "file://${repository.path}"`,
    `[server.${SERVER}]`,
    `connection = "${cluster.server.connectionString()}"`,
    `data_directory = "${cluster.server.dataFolder}"`,
    'wal = "archive"',
  ];
  await writeFile(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  await giveToUser(folder, cluster.server.user);
  return config;
}
