import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { isReachable } from '../../src/sandbox/reachability.ts';
import { makeScratchFolder } from '../../src/sandbox/scratch-folder.ts';
import { unprivilegedUser } from '../../src/sandbox/unprivileged-user.ts';
import { runWalnut, spawnWalnut, writeConfig } from './walnut.ts';

test('the built command line runs for the servers’ user', async () => {
  const result = await runWalnut(['--version']);
  expect(result).toMatchObject({ exitCode: 0, stderr: '' });
  expect(result.stdout).toMatch(/^\D*\d+\.\d+\.\d+/);
  const user = await unprivilegedUser();
  expect(await isReachable(join(inject('installation'), 'bin/walnut'), user)).toBe(true);
});

test('a wrong call has the exit code of wrong usage, also when its output is waited for', async () => {
  await using running = await spawnWalnut(['no-such-command']);
  expect(await running.waitForLine('no-such-command')).toContain('no-such-command');
  expect((await running.waitForExit()).exitCode).toBe(2);
});

test('a line that never comes fails with what was printed', async () => {
  const running = await spawnWalnut(['--version']);
  await expect(running.waitForLine(/never/)).rejects.toThrow(/ended without .*never.*\n.*\d/);
  const result = await running.waitForExit();
  expect(() => result.json()).toThrow('walnut --version: no JSON');
});

test('the configuration is private, and the servers’ user reads it', async () => {
  const user = await unprivilegedUser();
  const scratch = await makeScratchFolder(user);
  const path = await writeConfig(scratch.path, '[repository.main]\n');
  expect(await isReachable(path, user)).toBe(true);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await scratch.remove();
});
