import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { KEYS, TypingTerminal } from '../../test/support/typing-terminal.ts';
import { loadConfiguration } from '../config/load.ts';
import type { InitValues } from './init-configuration.ts';
import { askForAll } from './init-wizard.ts';
import { createOutput } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

const { enter, ctrlC, down } = KEYS;
const NAME = 'A name for the server';
const CONNECTION = 'How to reach it';
const PASSWORD_FILE = 'A file that holds the password';
const REPOSITORY = 'The folder for backups and WAL';
const WAL = 'How WAL comes in';
const DATA_DIRECTORY = 'The data directory';
const AGREE = 'and make what is missing?';

const NOTHING_GIVEN: InitValues = {
  server: undefined,
  connection: undefined,
  passwordFile: undefined,
  repository: undefined,
  dataDirectory: undefined,
  wal: undefined,
  spoolDirectory: undefined,
  newIncarnation: false,
  yes: false,
};

let folder: string;
let typing: TypingTerminal;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-wizard-'));
  typing = new TypingTerminal();
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
});

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** `walnut init` at the terminal; nothing is asked when `isTerminal` is false. */
async function init(words: readonly string[] = [], isTerminal = true): Promise<Ran> {
  const printed = { stdout: '', stderr: '' };
  const streams = {
    stdout: { write: (text: string) => void (printed.stdout += text) },
    stderr: { write: (text: string) => void (printed.stderr += text) },
    ...(isTerminal ? { terminal: typing.terminal } : {}),
  };
  const code = await runCommandLine(['init', ...words], {
    signal: new AbortController().signal,
    environment: { WALNUT_CONFIG: join(folder, 'walnut.toml') },
    packageRoot: '/opt/walnut',
    version: '1.2.3',
    now: () => new Date(),
    createOutput: (json) => createOutput(streams, { json }),
  });
  return { code, ...printed };
}

/** No server answers there: what `init` does with one is tested on real ones. */
function unreachable(): string {
  return `host=${join(folder, 'no-socket')} user=walnut dbname=postgres`;
}

describe('the wizard of init', () => {
  test('offers a default or an omission at every question but one', async () => {
    const asked = askForAll(NOTHING_GIVEN, '/etc/walnut/walnut.toml', {
      terminal: typing.terminal,
      signal: new AbortController().signal,
    });
    await typing.answer(NAME, enter);
    await typing.answer(CONNECTION, enter);
    await typing.answer('It cannot be left out', 'postgresql://walnut@db1/postgres', enter);
    await typing.answer(PASSWORD_FILE, enter);
    await typing.answer(REPOSITORY, enter);
    await typing.answer(WAL, enter);
    await typing.answer(DATA_DIRECTORY, enter);
    await typing.answer(`Write /etc/walnut/walnut.toml ${AGREE}`, enter);
    expect(await asked).toEqual({
      ...NOTHING_GIVEN,
      server: 'main',
      connection: 'postgresql://walnut@db1/postgres',
      repository: '/var/lib/walnut',
      wal: 'stream',
    });
  });

  test('writes what was answered into a configuration that loads, and says when the server is not reached', async () => {
    const repository = join(folder, 'back ups');
    const running = init();
    await typing.answer(NAME, 'shop', enter);
    await typing.answer(CONNECTION, unreachable(), enter);
    await typing.answer(PASSWORD_FILE, join(folder, 'password'), enter);
    await typing.answer(REPOSITORY, repository, enter);
    await typing.answer(WAL, down, down, enter);
    await typing.answer(DATA_DIRECTORY, join(folder, 'data'), enter);
    await typing.answer(AGREE, enter);
    const { code, stdout } = await running;
    expect(code).toBe(1);
    expect(stdout).toContain('The server could not be reached');
    const config = join(folder, 'walnut.toml');
    expect((await stat(config)).mode & 0o777).toBe(0o600);
    const { servers } = loadConfiguration({ configPath: config, environment: {} });
    const server = servers.get('shop');
    expect(server).toMatchObject({
      dataDirectory: join(folder, 'data'),
      wal: 'both',
      password: { kind: 'file', path: join(folder, 'password') },
      repository: { path: repository },
    });
    expect(server?.connection.reveal()).toBe(unreachable());
    expect(await readdir(repository)).toContain('walnut.json');
  });

  test('says what is wrong with an answer and lets it be corrected', async () => {
    const backspaces = (count: number): string => '\u007F'.repeat(count);
    const asked = askForAll(NOTHING_GIVEN, 'walnut.toml', {
      terminal: typing.terminal,
      signal: new AbortController().signal,
    });
    await typing.answer(NAME, 'Shop', enter);
    await typing.answer('"Shop" cannot name a server', backspaces(4), 'shop', enter);
    await typing.answer(CONNECTION, 'hots=db1', enter);
    await typing.answer('hots', backspaces(8), 'host=db1', enter);
    await typing.answer(PASSWORD_FILE, 'secret', enter);
    await typing.answer('Give an absolute path', backspaces(6), enter);
    await typing.answer(REPOSITORY, 'backups', enter);
    await typing.answer('Give an absolute path', backspaces(7), '/backups', enter);
    await typing.answer(WAL, down, enter);
    await typing.answer(DATA_DIRECTORY, 'data', enter);
    await typing.answer('Give an absolute path', backspaces(4), '/data', enter);
    await typing.answer(AGREE, enter);
    expect(await asked).toMatchObject({
      server: 'shop',
      connection: 'host=db1',
      passwordFile: undefined,
      repository: '/backups',
      wal: 'archive',
      dataDirectory: '/data',
    });
  });

  const questions = [NAME, CONNECTION, PASSWORD_FILE, REPOSITORY, WAL, DATA_DIRECTORY, AGREE];

  test.each(questions)('Ctrl-C at "%s" ends with 130 and leaves nothing behind', async (last) => {
    const answers = new Map([
      [NAME, 'shop'],
      [CONNECTION, unreachable()],
      [REPOSITORY, join(folder, 'repository')],
    ]);
    const running = init();
    for (const question of questions.slice(0, questions.indexOf(last))) {
      await typing.answer(question, answers.get(question) ?? '', enter);
    }
    await typing.answer(last, ctrlC);
    const { code, stdout, stderr } = await running;
    expect(code).toBe(130);
    expect(stdout).toBe('');
    expect(stderr).toContain('init: given up');
    expect(typing.screen).toContain('Nothing was written.');
    expect(await readdir(folder)).toEqual([]);
  });

  test('"no" at the end leaves nothing behind either', async () => {
    const given = ['shop', '--connection', unreachable(), '--repository', join(folder, 'r')];
    const running = init([
      ...given,
      '--wal',
      'stream',
      '--data-directory',
      '/d',
      '--password-file',
      '/p',
    ]);
    await typing.answer(AGREE, 'n');
    expect((await running).code).toBe(130);
    expect(await readdir(folder)).toEqual([]);
    // What options gave is not asked again.
    for (const question of questions.slice(0, -1)) expect(typing.screen).not.toContain(question);
  });

  test.each([
    ['--yes', ['--yes'], true],
    ['--json', ['--json'], true],
    ['without a terminal', [], false],
  ])('nothing is asked %s', async (_, words, isTerminal) => {
    const given = ['shop', '--connection', unreachable(), '--repository', join(folder, 'r')];
    const { code } = await init([...given, ...words], isTerminal);
    expect(code).toBe(1);
    expect(typing.screen).toBe('');
    expect(await readdir(folder)).toContain('walnut.toml');
  });
});
