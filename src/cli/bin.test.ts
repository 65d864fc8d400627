import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fileIdentity, renderMarker } from '../archive/ahead-marker.ts';

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

describe('bin/walnut and what was pushed ahead', () => {
  const SEGMENT = '000000010000000000000005';
  const OTHER = '000000010000000000000006';
  /** The ordinary push answers 7 here. */
  const pushed = { code: 7, stdout: '', stderr: '' };
  const answered = { code: 0, stdout: '', stderr: '' };
  let walnut: string;

  beforeEach(() => {
    walnut = join(install('process.exit(7)'), 'walnut');
    write('walnut.toml', '[server.shop]');
    write(`pg_wal/${SEGMENT}`, 'wal'.repeat(1000), 0o600);
    write(`pg_wal/${OTHER}`, 'wal'.repeat(1000), 0o600);
    mark();
  });

  function identity(path: string): string {
    return fileIdentity(statSync(join(folder, path), { bigint: true }));
  }

  function mark(incarnation?: string): void {
    const binding = { server: 'shop', incarnation, configuration: identity('walnut.toml') };
    write(`ahead dir/shop/${SEGMENT}`, renderMarker(binding, identity(`pg_wal/${SEGMENT}`)), 0o600);
  }

  function push(environment: Environment = {}, ...more: string[]): Ended {
    return run(walnut, [...words(), ...more], environment);
  }

  function words(): string[] {
    const path = `pg_wal/${SEGMENT}`;
    return ['--config', 'walnut.toml', 'wal', 'push', 'shop', path, '--ahead', 'ahead dir'];
  }

  function isMarked(): boolean {
    return statSync(join(folder, `ahead dir/shop/${SEGMENT}`)).size > 0;
  }

  test('a marker answers in the place of Node, and answers once', () => {
    expect(push()).toEqual(answered);
    expect(isMarked()).toBe(false);
    expect(push()).toEqual(pushed);
  });

  test('absolute paths are as good', () => {
    const absolute = words().map((word) =>
      /^(?:pg_wal|ahead|walnut[.])/.test(word) ? join(folder, word) : word,
    );
    expect(run(walnut, absolute)).toEqual(answered);
  });

  test.each(['/bin/dash', '/bin/bash'])('%s understands it', (shell) => {
    expect(run(shell, [walnut, ...words()])).toEqual(answered);
  });

  test('neither Node nor a whole installation is needed', () => {
    rmSync(join(folder, 'app/dist'), { recursive: true });
    rmSync(join(folder, 'app', PACKAGED_NODE));
    expect(push()).toEqual(answered);
  });

  test('the incarnation is part of it', () => {
    const named = ['--incarnation', '7432109876543210987-18'];
    expect(push({}, ...named)).toEqual(pushed);
    mark('7432109876543210987-18');
    expect(push()).toEqual(pushed);
    expect(push({}, '--incarnation', '7432109876543210987-17')).toEqual(pushed);
    expect(push({}, ...named)).toEqual(answered);
  });

  /** What may have become of the file since, or of all that the marker rests on. */
  test.each<[string, () => Environment | void]>([
    ['was made anew with the same content', () => anew(`pg_wal/${SEGMENT}`)],
    [
      'was written again within the same size',
      () => write(`pg_wal/${SEGMENT}`, 'law'.repeat(1000)),
    ],
    ['has another size', () => write(`pg_wal/${SEGMENT}`, 'wal')],
    [
      'is a copy that kept its time',
      () => {
        const { atime, mtime } = statSync(join(folder, `pg_wal/${SEGMENT}`));
        anew(`pg_wal/${SEGMENT}`);
        utimesSync(join(folder, `pg_wal/${SEGMENT}`), atime, mtime);
      },
    ],
    [
      'was recycled: another stands under its name',
      () => renameSync(join(folder, `pg_wal/${OTHER}`), join(folder, `pg_wal/${SEGMENT}`)),
    ],
    ['is gone', () => rmSync(join(folder, `pg_wal/${SEGMENT}`))],
    ['is another one of the same age', () => swap()],
    ['belongs to a changed configuration', () => write('walnut.toml', '[server.shop]\n')],
    ['belongs to a configuration that is gone', () => rmSync(join(folder, 'walnut.toml'))],
    [
      'has a marker of another server',
      () => {
        const other = renderMarker(
          { server: 'other', configuration: identity('walnut.toml') },
          identity(`pg_wal/${SEGMENT}`),
        );
        write(`ahead dir/shop/${SEGMENT}`, other);
      },
    ],
    ['has an empty marker', () => write(`ahead dir/shop/${SEGMENT}`, '')],
    ['has a marker cut short', () => cutMarker(-1)],
    ['has a marker cut in the middle', () => cutMarker(-20)],
    ['has a marker of zeros', () => write(`ahead dir/shop/${SEGMENT}`, '\0'.repeat(200))],
    ['has a marker that goes on', () => write(`ahead dir/shop/${SEGMENT}`, `${marker()}more\n`)],
    [
      'has a marker that is a link',
      () => {
        renameSync(join(folder, `ahead dir/shop/${SEGMENT}`), join(folder, 'elsewhere'));
        link(`ahead dir/shop/${SEGMENT}`, join(folder, 'elsewhere'));
      },
    ],
    [
      'has a folder for a marker',
      () => {
        rmSync(join(folder, `ahead dir/shop/${SEGMENT}`));
        mkdirSync(join(folder, `ahead dir/shop/${SEGMENT}`));
      },
    ],
    ['has no folder of markers', () => rmSync(join(folder, 'ahead dir'), { recursive: true })],
    ['is of a server set by the environment', () => ({ WALNUT_SERVER_SHOP_LEVEL: '3' })],
    ['goes to a repository set by the environment', () => ({ WALNUT_REPOSITORY_MAIN_URL: 'x' })],
    [
      'cannot be looked at',
      () => {
        for (const tool of ['readlink', 'uname', 'find', 'head']) {
          link(`tools/${tool}`, `/usr/bin/${tool}`);
        }
        link('tools/sh', '/bin/sh');
        return { PATH: join(folder, 'tools') };
      },
    ],
    [
      'is looked at by another stat than that of GNU',
      () => {
        write('path/stat', '#!/bin/sh\necho 16777234:5:3000:1764112000:1764112000\n', 0o755);
        return { PATH: `${folder}/path:/usr/bin:/bin` };
      },
    ],
  ])('the ordinary push decides when the file %s', (_, change) => {
    const environment = change();
    expect(push(typeof environment === 'object' ? environment : {})).toEqual(pushed);
  });

  test.skipIf(process.getuid?.() === 0)(
    'a marker that cannot be emptied does not answer (root can empty it)',
    () => {
      chmodSync(join(folder, `ahead dir/shop/${SEGMENT}`), 0o400);
      expect(push()).toEqual(pushed);
    },
  );

  test.runIf(process.getuid?.() === 0)('a marker that somebody else laid is not honoured', () => {
    chownSync(join(folder, `ahead dir/shop/${SEGMENT}`), 12_345, 12_345);
    expect(push()).toEqual(pushed);
  });

  test.each<[string, (typed: string[]) => string[]]>([
    ['--json', (typed) => [...typed, '--json']],
    ['no --ahead', (typed) => typed.slice(0, 6)],
    ['no --config', (typed) => typed.slice(2)],
    ['another order', ([a = '', b = '', ...typed]) => [...typed, a, b]],
    ['another file', (typed) => typed.map((word) => word.replace(SEGMENT, OTHER))],
    ['another server', (typed) => typed.map((word) => (word === 'shop' ? 'shop2' : word))],
    ['another folder', (typed) => typed.map((word) => (word === 'ahead dir' ? 'pg_wal' : word))],
  ])('the ordinary push decides for a command line with %s', (_, change) => {
    expect(run(walnut, change(words()))).toEqual(pushed);
    expect(isMarked()).toBe(true);
  });

  function marker(): string {
    const binding = { server: 'shop', configuration: identity('walnut.toml') };
    return renderMarker(binding, identity(`pg_wal/${SEGMENT}`));
  }

  function cutMarker(end: number): void {
    write(`ahead dir/shop/${SEGMENT}`, marker().slice(0, end), 0o600);
  }

  /** Beside the old one, so that it has another inode. */
  function anew(path: string): void {
    cpSync(join(folder, path), join(folder, `${path}.new`));
    renameSync(join(folder, `${path}.new`), join(folder, path));
  }

  /** The two files change places, which no time but ctime tells. */
  function swap(): void {
    const { atime, mtime } = statSync(join(folder, `pg_wal/${SEGMENT}`));
    linkSync(join(folder, `pg_wal/${OTHER}`), join(folder, 'third'));
    utimesSync(join(folder, 'third'), atime, mtime);
    renameSync(join(folder, `pg_wal/${SEGMENT}`), join(folder, `pg_wal/${OTHER}`));
    renameSync(join(folder, 'third'), join(folder, `pg_wal/${SEGMENT}`));
  }
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
