import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { readPassword } from './password.ts';
import { Secret } from './secret.ts';

const folder = mkdtempSync(join(tmpdir(), 'walnut-password-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('readPassword', () => {
  test('takes a file without its last line end', async () => {
    const path = join(folder, 'password');
    writeFileSync(path, ' s3cret \n');
    const password = await readPassword({ kind: 'file', key: 'k', path });
    expect(password.reveal()).toBe(' s3cret ');
  });

  test('takes what a command prints', async () => {
    const command = 'printf "%s\\n" "p\'w"';
    expect((await readPassword({ kind: 'command', key: 'k', command })).reveal()).toBe("p'w");
  });

  test('names the key and the status of a command that fails, never its output', async () => {
    const command = 'echo hunter2; echo hunter2 >&2; exit 3';
    const error = await readPassword({ kind: 'command', key: 'server.shop.x', command }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'config' });
    expect(inspect(error)).toContain('server.shop.x: it ended with exit code 3');
    expect(inspect(error)).not.toContain('hunter2');
  });

  test.each([
    { kind: 'file', key: 'k', path: join(folder, 'none') } as const,
    { kind: 'command', key: 'k', command: 'true' } as const,
  ])('refuses what is missing or empty: $kind', async (source) => {
    await expect(readPassword(source)).rejects.toMatchObject({ code: 'config' });
  });
});

describe('Secret', () => {
  test('shows itself nowhere', () => {
    const holder = { password: new Secret('hunter2') };
    const shown = [inspect(holder, { depth: 9, showHidden: true }), JSON.stringify(holder)];
    expect([...shown, holder.password.toString()].join('\n')).not.toContain('hunter2');
  });
});
