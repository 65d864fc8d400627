/** What `npm pack` makes is what people install: it holds what it must, and its `walnut` runs the demo. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoDocument } from '../../src/api/contract.ts';
import { makeScratchFolder, type ScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import { unprivilegedUser } from '../../src/sandbox/unprivileged-user.ts';
import { buildIfOlder, withBuildLock } from '../support/build-product.ts';
import { processesIn } from '../support/leftovers.ts';
import { runWalnut } from '../support/walnut.ts';

type PackedFile = { readonly path: string; readonly mode: number };
type Packed = {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly PackedFile[];
};

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKED_BYTES_MAX = 1_000_000;
const DEMO_TIMEOUT_MS = 120_000;
const TOP_LEVEL = [
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'bin',
  'build',
  'dist',
  'docs',
  'package.json',
];

let scratch: ScratchFolder;
let packed: Packed;
beforeAll(async () => {
  scratch = await makeScratchFolder(await unprivilegedUser(), { prefix: 'walnut-test-' });
  const output = await withBuildLock(ROOT, async () => {
    const problem = await buildIfOlder(ROOT);
    if (problem !== undefined) throw new Error(problem);
    return await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', scratch.path]);
  });
  const [first] = JSON.parse(output) as Packed[];
  if (first === undefined) throw new Error(`npm pack made nothing:\n${output}`);
  packed = first;
});
afterAll(async () => await scratch.remove());

async function npm(words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('npm', words, { cwd: ROOT });
  return stdout;
}

describe('the package', () => {
  test('holds the product and its documents and nothing else', async () => {
    const paths = packed.files.map(({ path }) => path);
    expect([...new Set(paths.map((path) => path.split('/')[0]))].toSorted()).toEqual(TOP_LEVEL);
    const documents = await readdir(join(ROOT, 'docs'), { recursive: true });
    expect(paths).toEqual(
      expect.arrayContaining([
        'dist/cli/main.js',
        'dist/licenses.txt',
        'build/page-scanner.wasm',
        'build/record-checksum.wasm',
        ...documents.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
      ]),
    );
    expect(paths.filter((path) => /\.test\b|\.ts$|test-suite/.test(path))).toEqual([]);
    expect(packed.size).toBeLessThan(PACKED_BYTES_MAX);
  });

  test('has programs that may be run, and only those', () => {
    const programs = packed.files.filter(({ mode }) => (mode & 0o111) !== 0);
    expect(programs.map(({ path }) => path.split('/')[0])).toEqual(programs.map(() => 'bin'));
    expect(packed.files.find(({ path }) => path === 'bin/walnut')?.mode).toBe(0o755);
  });

  test('installs globally and runs the demo on the Node it brings, nested or hoisted', async () => {
    const prefix = join(scratch.path, 'prefix');
    const tarball = join(scratch.path, packed.filename);
    await npm(['install', '--global', '--prefix', prefix, '--prefer-offline', tarball]);
    const options = {
      installation: prefix,
      env: { PATH: `${await folderWithBrokenNode()}:/usr/bin:/bin` },
      asUser: 'self',
    } as const;

    const folder = join(scratch.path, 'demo');
    await mkdir(folder, { mode: 0o755 });
    const result = await runWalnut(['demo', '--json', '--folder', folder], {
      ...options,
      timeoutMs: DEMO_TIMEOUT_MS,
    });
    expect(result).toMatchObject({ exitCode: 0 });
    expect(demoDocument.parse(result.json())).toMatchObject({ passed: true });
    expect([...(await readdir(folder)), ...processesIn(folder)]).toEqual([]);

    await hoist(join(prefix, 'lib/node_modules'));
    expect(await runWalnut(['--version'], options)).toMatchObject({ exitCode: 0, stderr: '' });
  });
});

/** First on the PATH, so that only the packaged Node can be the one that works. */
async function folderWithBrokenNode(): Promise<string> {
  const folder = join(scratch.path, 'broken');
  await mkdir(folder, { mode: 0o755 });
  await writeFile(join(folder, 'node'), '#!/bin/sh\nexit 99\n');
  await chmod(join(folder, 'node'), 0o755);
  return folder;
}

/** Lays the dependencies beside the package, as npm does in a project. */
async function hoist(modules: string): Promise<void> {
  const nested = join(modules, 'walnut-pg/node_modules');
  for (const name of await readdir(nested)) await rename(join(nested, name), join(modules, name));
  await rm(nested, { recursive: true });
}
