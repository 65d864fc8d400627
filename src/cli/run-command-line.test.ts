import { describe, expect, test } from 'vitest';
import { errorDocument } from '../api/contract.ts';
import { COMMAND_GROUPS, COMMANDS } from './command-table.ts';
import { createOutput } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

async function run(...words: string[]): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(words, {
    signal: new AbortController().signal,
    environment: { WALNUT_CONFIG: '/no/such/walnut.toml' },
    packageRoot: '/',
    version: '1.2.3',
    now: () => new Date(),
    createOutput: (json) =>
      createOutput(
        {
          stdout: { write: (text) => void (stdout += text) },
          stderr: { write: (text) => void (stderr += text) },
        },
        { json },
      ),
  });
  return { code, stdout, stderr };
}

describe('the command line', () => {
  test('lists every command, or the group it is in', async () => {
    const { code, stdout } = await run('--help');
    expect(code).toBe(0);
    for (const { name } of COMMANDS)
      expect(stdout).toMatch(new RegExp(`^ {2}${name.split(' ')[0]} `, 'm'));
    for (const name of Object.keys(COMMAND_GROUPS)) {
      expect((await run(...name.split(' '), '--help')).code).toBe(0);
    }
  });

  test.each(COMMANDS.map(({ name }) => name))(
    '%s --help shows examples and exit codes',
    async (name) => {
      const { code, stdout, stderr } = await run(...name.split(' '), '--help');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`Usage: walnut ${name}`);
      expect(stdout).toContain('Examples:\n');
      expect(stdout).toContain('Exit codes:\n  0   done\n');
      expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
      expect(await run('help', ...name.split(' '))).toEqual({ code, stdout, stderr });
    },
  );

  test.each(COMMANDS.map((entry) => [entry.name, entry] as const))(
    '%s is declared as the table says',
    async (name, entry) => {
      const command = await entry.load();
      expect(command).toMatchObject({ name, summary: entry.summary });
      expect(command.exitCodes).toContain(0);
    },
  );

  test('without a command it shows the commands and fails', async () => {
    const { code, stdout, stderr } = await run();
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Commands:');
  });

  test.each([
    [['wal', 'fetsh'], 'Did you mean fetch?'],
    [['wal', 'slot', 'crate'], 'Did you mean create?'],
    [['bakcup'], 'Did you mean backup?'],
    [['backup', '--jbos', '2'], 'Did you mean --jobs?'],
    [['--jsno', 'list'], 'Did you mean --json?'],
    [['backup', '--type', 'fulll'], 'one of full, differential, incremental'],
    [['completion', 'tcsh'], 'one of bash, zsh, fish'],
    [['backup', '--rate', '50MB'], '50MB/s'],
    [['backup', '--jobs'], 'argument missing'],
    [['show', 'shop'], "missing required argument 'BACKUP'"],
    [['list', 'shop', 'crm'], 'too many arguments'],
    [['restore', 'shop'], '--target'],
    [['restore', '--target', '/x', '--to-lsn', '16'], 'parse LSN "16"'],
    [['restore', '--target', '/x', '--to-time', 'soon'], '"soon" is not a time'],
    [['restore', '--target', '/x', '--to-xid', '5', '--to-immediate'], 'one target only'],
    [['restore', '--target', '/x', '--to-name', 'a', '--exclusive'], '--exclusive'],
    [['restore', '--target', '/x', '--standby', '--action', 'promote'], '--standby'],
    [['init', '--new-incarnation'], 'name the server'],
  ])('%j ends with exit code 2 and says %j', async (words, text) => {
    const { code, stdout, stderr } = await run(...words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(text);
    const asJson = await run('--json', ...words);
    expect(asJson).toMatchObject({ code: 2, stderr: '' });
    const document = errorDocument.parse(JSON.parse(asJson.stdout));
    expect(document.error.code).toBe('usage');
    expect(JSON.stringify(document)).toContain(JSON.stringify(text).slice(1, -1));
  });

  test('takes --json and --config before and behind the command', async () => {
    for (const words of [
      ['--json', 'completion', 'fish'],
      ['completion', '--json', 'fish'],
      ['--config', 'list', 'completion', 'fish', '--json'],
      ['completion', 'fish', '--config=x', '--json'],
    ]) {
      const { code, stdout } = await run(...words);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ shell: 'fish' });
    }
  });

  test('takes --json behind -- for an argument', async () => {
    const { code, stdout, stderr } = await run('completion', '--', '--json');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('"--json" is not one of bash');
  });
});
