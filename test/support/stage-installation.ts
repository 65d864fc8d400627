import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  cp,
  link,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { isReachable } from '../../src/sandbox/reachability.ts';
import { makeScratchFolder, type ScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import { unprivilegedUser } from '../../src/sandbox/unprivileged-user.ts';
import { buildIfOlder, withBuildLock } from './build-product.ts';
import { drawSeed } from './random.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder of a whole installation that the servers' user can reach: `bin/walnut` and all behind it. */
    readonly installation: string;
    /** Why there is no usable installation, or empty. */
    readonly installationProblem: string;
    /** Where staged server programs are shared by all tests of a run. */
    readonly binariesCache: string;
    readonly testSeed: string;
  }
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PRODUCT_PARTS = ['bin', 'dist', 'build', 'package.json'];

let scratch: ScratchFolder | undefined;

/**
 * Stages the built product once per test run. It is always a copy, because the checkout may be rebuilt while tests
 * run; its dependencies are linked to the checkout's when the servers' user reaches those, else copied too.
 */
export async function setup(project: TestProject): Promise<void> {
  const user = await unprivilegedUser();
  scratch = await makeScratchFolder(user, { prefix: 'walnut-test-' });
  const installation = join(scratch.path, 'installation');
  const binariesCache = join(scratch.path, 'binaries');
  for (const folder of [installation, binariesCache]) {
    await mkdir(folder);
    await chmod(folder, 0o755);
  }
  const problem = await withBuildLock(ROOT, async () => {
    const failure = await buildIfOlder(ROOT);
    await copyProduct(installation);
    return failure;
  });
  if (await isReachable(join(ROOT, 'node_modules'), user)) {
    await symlink(join(ROOT, 'node_modules'), join(installation, 'node_modules'));
  } else {
    await copyDependencies(installation);
  }
  const seed = drawSeed();
  process.stdout.write(`WALNUT_TEST_SEED=${seed}\n`);
  project.provide('installation', installation);
  project.provide('installationProblem', problem ?? '');
  project.provide('binariesCache', binariesCache);
  project.provide('testSeed', seed);
}

export async function teardown(): Promise<void> {
  await scratch?.remove();
}

async function copyProduct(installation: string): Promise<void> {
  for (const part of PRODUCT_PARTS.filter((name) => existsSync(join(ROOT, name)))) {
    await cp(join(ROOT, part), join(installation, part), { recursive: true });
    await openForReading(join(installation, part));
  }
}

async function copyDependencies(installation: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  const shipped = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true && existsSync(join(ROOT, path)))
    .map(([path]) => path)
    .toSorted();
  for (const path of shipped) await copyTree(join(ROOT, path), join(installation, path));
}

/** Links files that everyone may read, because the packaged Node alone has 200 MB, and copies the others. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o755 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      // A package nested in this one has its own row in the lock file.
      if (entry.name !== 'node_modules') await copyTree(source, target);
    } else if (entry.isSymbolicLink()) {
      await cp(source, target, { verbatimSymlinks: true });
    } else {
      await linkOrCopy(source, target);
    }
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const { mode } = await stat(source);
  if ((mode & 0o044) === 0o044) {
    const linked = await link(source, target).then(
      () => true,
      () => false,
    );
    if (linked) return;
  }
  await copyFile(source, target);
  await chmod(target, (mode & 0o100) === 0 ? 0o644 : 0o755);
}

async function openForReading(path: string): Promise<void> {
  const facts = await stat(path);
  if (!facts.isDirectory()) {
    await chmod(path, (facts.mode & 0o100) === 0 ? 0o644 : 0o755);
    return;
  }
  await chmod(path, 0o755);
  for (const name of await readdir(path)) await openForReading(join(path, name));
}
