/** Builds what the package ships: `dist/` from `src/`, and the WASM kernels into `build/`. */
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string): string => `${root}node_modules/.bin/${name}`;
/** What is compiled to WebAssembly. */
const KERNELS = {
  'page-scanner': 'src/postgres/cluster/page-scanner.as.ts',
  'record-checksum': 'src/postgres/wal/record-checksum.as.ts',
};
/** As deep as `src/lib/`, from where the package's folder is found (src/lib/package-root.ts). */
const OUTPUT = 'dist/cli';
/** Loaded at every start; everything else is loaded from node_modules by the few commands that need it. */
const BUNDLED = ['commander', 'smol-toml', 'zod'];

// `npm ci --omit=dev` in a checkout leaves the compilers out; `bin/walnut` then runs `src/` directly.
if (process.env['npm_lifecycle_event'] === 'prepare' && !existsSync(bin('asc'))) process.exit(0);

rmSync(`${root}dist`, { recursive: true, force: true });
await bundle();
writeFileSync(`${root}dist/licenses.txt`, BUNDLED.map((name) => licenseOf(name)).join('\n'));

mkdirSync(`${root}build`, { recursive: true });
const options = '-O3 --enable simd --runtime stub --noAssert'.split(' ');
for (const [name, source] of Object.entries(KERNELS)) {
  const words = [source, '-o', `build/${name}.wasm`, ...options];
  execFileSync(bin('asc'), words, { cwd: root, stdio: 'inherit' });
}

/** The program and its worker threads, side by side, as their URLs expect (src/lib/worker-url.ts). */
async function bundle(): Promise<void> {
  // Not above: an installation without the development dependencies ends before it.
  const { build } = await import('rolldown');
  const entries = ['src/cli/main.ts', ...globSync('src/**/*-worker.ts', { cwd: root })];
  await build({
    cwd: root,
    input: Object.fromEntries(entries.map((path) => [basename(path, '.ts'), path])),
    platform: 'node',
    external: (id) => !/^[./]/.test(id) && !BUNDLED.includes(id),
    output: { dir: OUTPUT, entryFileNames: '[name].js', chunkFileNames: '[name].js' },
  });
}

function licenseOf(name: string): string {
  return `${name}\n\n${readFileSync(`${root}node_modules/${name}/LICENSE`, 'utf8')}`;
}
