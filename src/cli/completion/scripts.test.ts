import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { describeCommandLine } from '../command-line-description.ts';
import { renderCompletion } from './scripts.ts';

const words = await describeCommandLine();

/** What bash offers for the last of the words typed. */
function completeInBash(...typed: string[]): string[] {
  const line = ['walnut', ...typed].map((word) => `'${word}'`).join(' ');
  const program = `${renderCompletion('bash', words)}
COMP_WORDS=(${line}); COMP_CWORD=${typed.length}; _walnut; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', program], {
    encoding: 'utf8',
    cwd: '/',
  });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((each) => each !== '');
}

describe('completion', () => {
  test.each([
    [['ba'], ['backup']],
    [
      ['wal', ''],
      ['receive', 'push', 'fetch', 'status', 'switch', 'slot'],
    ],
    [
      ['wal', 'slot', ''],
      ['create', 'drop'],
    ],
    [
      ['backup', '--fr'],
      ['--from', '--fresh'],
    ],
    [
      ['backup', '--from', ''],
      ['auto', 'local', 'connection', 'stream'],
    ],
    [['restore', 'shop', '--target', '/x', '--acti'], ['--action']],
    [['restore', 'shop', '--action', 'pr'], ['promote']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['list', '--js'], ['--json']],
    [['restore', '--target', 'et'], ['etc']],
  ])('bash completes %j', (typed, offered) => {
    expect(completeInBash(...typed)).toEqual(offered);
  });

  test.each(['bash', 'zsh', 'fish'] as const)('%s is offered every command and option', (shell) => {
    const script = renderCompletion(shell, words);
    const named = words.filter(({ name }) => name !== '').map(({ name }) => `'${name}'`);
    const flags = words.flatMap(({ options }) => options.map(({ flag }) => flag));
    const written = shell === 'fish' ? flags.map((flag) => `-l ${flag.slice(2)}`) : flags;
    expect([...named, ...written].filter((each) => !script.includes(each))).toEqual([]);
  });

  test.each(['zsh', 'fish'] as const)(
    'the script of %s is valid where that shell is installed',
    (shell) => {
      const { status, error } = spawnSync(shell, ['-n'], { input: renderCompletion(shell, words) });
      expect(error === undefined ? status : 0).toBe(0);
    },
  );
});
