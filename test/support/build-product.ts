import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { sleep } from '../../src/lib/sleep.ts';

const MAIN = 'dist/cli/main.js';
const LOCK_WAIT_MS = 120_000;
const LOCK_POLL_MS = 100;
const PRODUCT_INPUTS = ['src', 'scripts/build.ts', 'tsconfig.json', 'package.json'];

/**
 * Builds the product when `dist/` is missing or older than what it is made from. When a later step fails but the program
 * is there, the complaint is printed and the tests run on that. `npm run check` is where types are proven.
 * Answers why there is nothing to run, when so; tests of single modules go on.
 */
export async function buildIfOlder(root: string): Promise<string | undefined> {
  if (await isFresh(root)) return undefined;
  try {
    execFileSync(process.execPath, ['scripts/build.ts'], { cwd: root, stdio: 'pipe' });
    return undefined;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    const complaint = `build the product:\n${String(stdout)}${String(stderr)}`;
    if (!existsSync(join(root, MAIN))) return complaint;
    process.stderr.write(complaint);
    return undefined;
  }
}

/** Runs `work` while no other test run builds or copies the same checkout. */
export async function withBuildLock<T>(root: string, work: () => Promise<T>): Promise<T> {
  const digest = createHash('sha256').update(root).digest('hex').slice(0, 12);
  const lock = join(tmpdir(), `walnut-build-${digest}.lock`);
  await acquire(lock);
  try {
    return await work();
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

async function acquire(lock: string): Promise<void> {
  const end = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      await mkdir(lock);
      await writeFile(join(lock, 'pid'), String(process.pid));
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || Date.now() > end) throw error;
    }
    if (isAbandoned(lock)) await rm(lock, { recursive: true, force: true });
    else await sleep(LOCK_POLL_MS);
  }
}

function isAbandoned(lock: string): boolean {
  try {
    const pid = Number(readFileSync(join(lock, 'pid'), 'utf8'));
    return pid > 0 && !existsSync(`/proc/${pid}`);
  } catch {
    return false;
  }
}

/** The build begins by removing `dist/`, so the folder's birth is the moment up to which its inputs were read. */
async function isFresh(root: string): Promise<boolean> {
  const main = await stat(join(root, MAIN)).catch(() => undefined);
  if (main === undefined) return false;
  const { birthtimeMs } = await stat(join(root, 'dist'));
  const newest = await Promise.all(
    PRODUCT_INPUTS.map(async (name) => await newestChangeMs(join(root, name))),
  );
  return newest.every((changedMs) => changedMs < birthtimeMs);
}

async function newestChangeMs(path: string): Promise<number> {
  const facts = await stat(path);
  if (!facts.isDirectory()) return path.endsWith('.test.ts') ? 0 : facts.mtimeMs;
  const names = await readdir(path);
  const inside = await Promise.all(
    names.map(async (name) => await newestChangeMs(join(path, name))),
  );
  return Math.max(facts.mtimeMs, ...inside);
}
