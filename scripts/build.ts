/** Builds what the package ships: `dist/` from `src/`, and the WASM page scanner into `build/`. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name: string): string => `${root}node_modules/.bin/${name}`;
const PAGE_SCANNER = 'src/postgres/cluster/page-scanner.as.ts';

// `npm ci --omit=dev` in a checkout leaves the compilers out; `bin/walnut` then runs `src/` directly.
if (process.env['npm_lifecycle_event'] === 'prepare' && !existsSync(bin('tsc'))) process.exit(0);

rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(bin('tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });

mkdirSync(`${root}build`, { recursive: true });
execFileSync(
  bin('asc'),
  [
    PAGE_SCANNER,
    '-o',
    'build/page-scanner.wasm',
    '-O3',
    '--enable',
    'simd',
    '--runtime',
    'stub',
    '--noAssert',
  ],
  { cwd: root, stdio: 'inherit' },
);
