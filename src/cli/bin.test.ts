import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const BIN = fileURLToPath(new URL('../../bin', import.meta.url));
const PACKAGED_NODE = `node_modules/node-linux-${process.arch}/bin/node`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'walnut bin-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

type Environment = Readonly<Record<string, string>>;
type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

function run(program: string, words: string[], environment: Environment = {}): Ended {
  const { status, stdout, stderr } = spawnSync(program, words, {
    encoding: 'utf8',
    cwd: folder,
    env: { PATH: '/usr/bin:/bin', HOME: folder, ...environment },
  });
  return { code: status, stdout, stderr };
}

function write(path: string, content: string, mode = 0o644): string {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
  chmodSync(full, mode);
  return full;
}

function link(path: string, target: string): string {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  symlinkSync(target, full);
  return full;
}

/** An installed package with the real shims and a main that does what the test wants. */
function install(main: string, place = 'app'): string {
  cpSync(BIN, join(folder, place, 'bin'), { recursive: true });
  write(`${place}/package.json`, '{"type":"module"}');
  write(`${place}/dist/cli/main.js`, main);
  link(`${place}/${PACKAGED_NODE}`, process.execPath);
  return join(folder, place, 'bin');
}

describe('bin/walnut in this checkout', () => {
  const walnut = join(BIN, 'walnut');

  test('tells its version and its help', () => {
    expect(run(walnut, ['--version'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
    const help = run(walnut, ['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('restore');
    expect(help.stdout).toContain('Exit codes:');
  });

  test('runs through a chain of relative and absolute links', () => {
    const first = link('a/one', walnut);
    link('a/b/two', '../one');
    expect(run(join(folder, 'a/b/two'), ['--version']).code).toBe(0);
    expect(run('one', ['--version'], { PATH: `${dirname(first)}:/usr/bin:/bin` }).code).toBe(0);
  });

  test('answers an unknown command or option with exit code 2 and a suggestion', () => {
    expect(run(walnut, ['bakcup'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('Did you mean backup?'),
    });
    expect(run(walnut, ['restore', '--to-tme', 'x'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Did you mean --to-time?'),
    });
  });

  test('answers on standard output with --json', () => {
    const { code, stdout } = run(walnut, ['backup', '--level', '77', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'usage',
        message: expect.stringContaining('--level'),
        hint: null,
        cause: null,
      },
    });
  });

  test('ends as by SIGPIPE when the reader of its output leaves', () => {
    const { code, stderr } = run('/bin/bash', ['-c', `set -o pipefail; '${walnut}' --help | true`]);
    expect({ code, stderr }).toEqual({ code: 141, stderr: '' });
  });

  test('fails when its output cannot be written', () => {
    const { code, stderr } = run('/bin/sh', ['-c', `'${walnut}' --help > /dev/full`]);
    expect(code).toBe(1);
    expect(stderr).toContain('write to standard output: ENOSPC');
  });

  test('ends as it would when the reader of its notes leaves', () => {
    const program = `set -o pipefail; '${walnut}' bakcup 2>&1 >/dev/null | true`;
    expect(run('/bin/bash', ['-c', program]).code).toBe(2);
  });
});

describe('bin/walnut finds Node', () => {
  const whichNode =
    'console.log(JSON.stringify([process.argv.slice(2), process.env.WHICH ?? null]))';
  const marked = `#!/bin/sh\nWHICH=$0 exec '${process.execPath}' "$@"\n`;

  test.each([
    ['nested in the package', 'lib/node_modules/walnut-pg/'],
    ['hoisted beside the package', 'lib/'],
    ['hoisted further up', ''],
  ])('%s, and hands on every argument', (_, place) => {
    const bin = install(whichNode, 'lib/node_modules/walnut-pg');
    rmSync(join(folder, 'lib/node_modules/walnut-pg', PACKAGED_NODE));
    const node = write(`${place}${PACKAGED_NODE}`, marked, 0o755);
    const { stdout } = run(join(bin, 'walnut'), ['a b', '', '*']);
    expect(JSON.parse(stdout)).toEqual([['a b', '', '*'], node]);
  });

  test('on PATH when there is none in the package', () => {
    const bin = install(whichNode);
    rmSync(join(folder, 'app', PACKAGED_NODE));
    const node = write('path/node', marked, 0o755);
    const { stdout } = run(join(bin, 'walnut'), [], { PATH: `${folder}/path:/usr/bin:/bin` });
    expect(JSON.parse(stdout)).toEqual([[], node]);
  });

  test('and refuses one below 24 by name, with what to do', () => {
    const bin = install(whichNode);
    rmSync(join(folder, 'app', PACKAGED_NODE));
    const node = write('path/node', '#!/bin/sh\necho v20.20.2\n', 0o755);
    const { code, stderr } = run(join(bin, 'walnut'), [], { PATH: `${folder}/path:/usr/bin:/bin` });
    expect(code).toBe(2);
    expect(stderr).toContain(`run on ${node}: it is Node v20.20.2, Walnut needs 24 or later`);
    expect(stderr).toContain('hint: install');
  });

  test('and says so when there is none at all', () => {
    const bin = install(whichNode);
    rmSync(join(folder, 'app', PACKAGED_NODE));
    for (const tool of ['readlink', 'uname']) link(`tools/${tool}`, `/usr/bin/${tool}`);
    link('tools/sh', '/bin/sh');
    const { code, stderr } = run(join(bin, 'walnut'), [], { PATH: `${folder}/tools` });
    expect(code).toBe(2);
    expect(stderr).toContain('find Node: there is none');
  });
});

describe('bin/walnut in a checkout', () => {
  const sources = 'console.log("src")';
  const built = 'console.log("dist")';

  function checkout(): string {
    const bin = install(built);
    write('app/src/cli/main.ts', sources);
    write('app/src/deep/other.ts', '');
    write('app/src/deep/other.test.ts', '');
    return join(bin, 'walnut');
  }

  function age(path: string, seconds: number): void {
    const time = Date.now() / 1000 - seconds;
    utimesSync(join(folder, 'app', path), time, time);
  }

  test('runs what was built when nothing is newer', () => {
    const walnut = checkout();
    for (const each of ['src/cli/main.ts', 'src/deep/other.ts']) age(each, 100);
    age('dist/cli/main.js', 50);
    expect(run(walnut, []).stdout).toBe('dist\n');
  });

  test('runs the sources when one of them is newer, tests aside', () => {
    const walnut = checkout();
    for (const each of ['src/cli/main.ts', 'src/deep/other.ts', 'dist/cli/main.js']) age(each, 50);
    age('src/deep/other.test.ts', 10);
    expect(run(walnut, []).stdout).toBe('dist\n');
    age('src/deep/other.ts', 10);
    expect(run(walnut, []).stdout).toBe('src\n');
  });

  test('runs the sources when nothing is built', () => {
    const walnut = checkout();
    rmSync(join(folder, 'app/dist'), { recursive: true });
    expect(run(walnut, []).stdout).toBe('src\n');
  });
});

describe('bin/walnut-restore-command', () => {
  const fetches =
    'import fs from "node:fs"; fs.writeFileSync(process.argv.at(-1), process.argv.slice(2).join("|"));';

  function fetch(bin: string, environment: Environment = {}): number | null {
    const words = ['--config', '/c d', 'shop', '000000010000000000000005', 'pg_wal/RECOVERYXLOG'];
    return run(join(bin, 'walnut-restore-command'), words, environment).code;
  }

  beforeEach(() => mkdirSync(join(folder, 'pg_wal')));

  test('answers 0 with the file in place, also through a link', () => {
    const bin = install(
      `${fetches} if (!process.argv.slice(2).join("|").startsWith("wal|fetch|--config|/c d|shop|")) process.exit(9);`,
    );
    expect(fetch(bin)).toBe(0);
    const linked = link('somewhere/else', join(bin, 'walnut-restore-command'));
    expect(run(linked, ['--config', '/c d', 'shop', 'x', 'pg_wal/other']).code).toBe(0);
  });

  test('answers 1 for 44 alone', () => {
    expect(fetch(install('process.exit(44)'))).toBe(1);
  });

  test.each([
    ['exit 0 without the file', 'process.exit(0)', 126],
    ['failed', 'process.exit(1)', 126],
    ['wrong configuration', 'process.exit(2)', 126],
    ['an exit code PostgreSQL would take for the end of WAL', 'process.exit(125)', 126],
    ['interrupted', 'process.exit(130)', 126],
    ['a crash', 'throw new Error("no")', 126],
    ['a syntax error', 'this is no program', 126],
    ['a missing module', 'import "./gone.js"', 126],
    ['kill -9', 'process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000)', 126],
    ['SIGSEGV', 'process.kill(process.pid, "SIGSEGV"); setInterval(() => {}, 1000)', 126],
    ['SIGTERM', 'process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)', 143],
    ['an unfinished promise', 'await new Promise(() => {})', 126],
  ])('never promotes on %s', (_, main, code) => {
    expect(fetch(install(main))).toBe(code);
  });

  test.each<[string, (bin: string) => Environment | void]>([
    ['options for Node that it does not know', () => ({ NODE_OPTIONS: '--no-such-option' })],
    ['a preloaded module that is gone', () => ({ NODE_OPTIONS: '--require /no/such/module.js' })],
    ['a missing main', () => rmSync(join(folder, 'app/dist'), { recursive: true })],
    ['a missing walnut', (bin) => rmSync(join(bin, 'walnut'))],
    ['a walnut that is not executable', (bin) => chmodSync(join(bin, 'walnut'), 0o644)],
    [
      'an old Node',
      () => {
        rmSync(join(folder, 'app', PACKAGED_NODE));
        write('path/node', '#!/bin/sh\necho v20.20.2\n', 0o755);
        return { PATH: `${folder}/path:/usr/bin:/bin` };
      },
    ],
    [
      'a packaged Node that does not run',
      () => {
        rmSync(join(folder, 'app', PACKAGED_NODE));
        return void write(`app/${PACKAGED_NODE}`, 'no program', 0o755);
      },
    ],
    ['no PATH', () => ({ PATH: '/nonexistent' })],
  ])('answers 126 for %s', (_, breakInstallation) => {
    const bin = install(fetches);
    const environment = breakInstallation(bin) ?? {};
    expect(fetch(bin, environment)).toBe(126);
  });

  test('answers 126 for a broken configuration of the real program', () => {
    write('broken.toml', 'server = = 1');
    const words = ['--config', join(folder, 'broken.toml'), 'shop', '00000002.history', 'pg_wal/x'];
    expect(run(join(BIN, 'walnut-restore-command'), words).code).toBe(126);
  });
});
