import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { runs } from '../../test/support/runs.ts';
import { isReachable } from './reachability.ts';
import { isRoot, parsePasswd } from './unprivileged-user.ts';

const PROGRAM = fileURLToPath(new URL('../../test/support/run-server.ts', import.meta.url));

type Facts = { pid: number; folder: string; uid: number; serverUid: number };

const nobody = parsePasswd(readFileSync('/etc/passwd', 'utf8')).find(
  ({ name }) => name === 'nobody',
);
const nobodyCanRun =
  isRoot() &&
  nobody !== undefined &&
  (await isReachable(PROGRAM, nobody)) &&
  (await isReachable(process.execPath, nobody));

/** Starts the program and waits until its server is up. */
async function startProgram(
  ending: string,
  identity: { uid?: number; gid?: number } = {},
): Promise<{ child: ChildProcess; facts: Facts }> {
  const child = spawn(process.execPath, [PROGRAM, '18', ending], {
    ...identity,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, facts: JSON.parse(line) as Facts };
}

const SOON = { timeout: 10_000, interval: 20 };

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'the server and its folder go with the program that gets %s',
  async (signal) => {
    const { child, facts } = await startProgram('wait');
    expect(runs(facts.pid)).toBe(true);
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([null, signal]);
    await vi.waitFor(() => expect(runs(facts.pid)).toBe(false), SOON);
    expect(existsSync(facts.folder)).toBe(false);
  },
);

test('the server goes even when the program is killed without a chance to clean up', async () => {
  const { child, facts } = await startProgram('wait');
  child.kill('SIGKILL');
  await vi.waitFor(() => expect(runs(facts.pid)).toBe(false), SOON);
  await rm(facts.folder, { recursive: true });
});

test('the server goes with a program that just exits', async () => {
  const { child, facts } = await startProgram('exit');
  await once(child, 'exit');
  await vi.waitFor(() => expect(runs(facts.pid)).toBe(false), SOON);
  expect(existsSync(facts.folder)).toBe(false);
});

test.skipIf(!nobodyCanRun)('an ordinary user runs a server as itself', async () => {
  const { child, facts } = await startProgram(
    'finish',
    nobody === undefined ? {} : { uid: nobody.uid, gid: nobody.gid },
  );
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(facts).toMatchObject({ uid: nobody?.uid, serverUid: nobody?.uid });
  await vi.waitFor(() => expect(runs(facts.pid)).toBe(false), SOON);
  expect(existsSync(facts.folder)).toBe(false);
});
