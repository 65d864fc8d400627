/**
 * WAL that is missing, and a restore command that cannot work: PostgreSQL takes exit codes 1 to 125 for the end of WAL and
 * promotes, so neither may ever look like that.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { restorePlanDocument } from '../../src/api/restore-contract.ts';
import { spawnIdentity } from '../../src/sandbox/unprivileged-user.ts';
import { testCluster, type TestCluster } from '../support/cluster.ts';
import { protect, waitForRecovery, type ProtectedServer } from '../support/protected-server.ts';
import { mountSmallDisk } from '../support/small-disk.ts';

const MAJOR = 18;
const ROWS_PER_STEP = 1000;
const STEPS = 6;
const COMMAND_LIMIT_MS = 30_000;

type Answer = { readonly code: number; readonly output: string };

const isNoEndOfWal = ({ code }: Answer): boolean => code >= 126;

describe('WAL that is missing and commands that fail', () => {
  let cluster: TestCluster;
  let server: ProtectedServer;
  /** Names of the segments behind the backup, one for each step. */
  const segments: string[] = [];

  beforeAll(async () => {
    cluster = await testCluster({ major: MAJOR, initdb: { walSegmentMegabytes: 1 } });
    server = await protect(cluster);
    await cluster.sql('create table steps (step int, n int)');
    await using receiver = await server.receive();
    await server.backup(['--from', 'local']);
    for (let step = 1; step <= STEPS; step += 1) {
      await cluster.sql(`insert into steps select ${step}, generate_series(1, ${ROWS_PER_STEP})`);
      segments.push(await cluster.value('select pg_walfile_name(pg_current_wal_lsn())'));
      await cluster.sql('select pg_switch_wal()');
    }
    await cluster.sql('create table after_the_steps ()');
    await server.waitUntilStored(await cluster.value('select pg_current_wal_flush_lsn()'));
    await receiver.stop();
    await cluster.server.stop();
  }, 180_000);

  afterAll(async () => {
    await cluster.dispose();
  });

  /** Takes a segment out of the repository until the answer is disposed of. */
  async function withoutSegment(name: string): Promise<AsyncDisposable> {
    const path = join(server.repository, await walFolder(), name);
    await rename(path, `${cluster.workFolder}/${name}`);
    return {
      [Symbol.asyncDispose]: async () => rename(`${cluster.workFolder}/${name}`, path),
    };
  }

  async function walFolder(): Promise<string> {
    const { systemIdentifier } = await server.list();
    return `shop/wal/${systemIdentifier}-${MAJOR}/00000001`;
  }

  async function rowsOf(restored: TestCluster): Promise<string> {
    return await restored.value('select count(*) from steps');
  }

  test('a hole before the target is refused by the plan, which says how far the WAL reaches', async () => {
    const [, , missing = ''] = segments;
    await using _ = await withoutSegment(missing);
    const { gaps } = await server.list();
    expect(gaps).toHaveLength(1);
    const [gap] = gaps;
    for (const words of [[], ['--wal', 'copy'], ['--to-lsn', '0/7FFFFFFF']]) {
      const refused = await server.run([...server.restoreWords('hole', { words }), '--json']);
      expect(refused.exitCode).toBe(1);
      expect(refused.json()).toMatchObject({
        error: {
          code: 'target-unreachable',
          message: expect.stringContaining(
            `WAL is missing from ${gap?.fromLsn} to ${gap?.toLsn} on timeline 1`,
          ),
        },
      });
    }
    const text = await server.run(server.restoreWords('hole'));
    const furthest = /The furthest that can be restored is (--to-\w+) '?([^'\n]*?)'?\.$/m;
    const [, option = '', value = ''] = furthest.exec(text.stderr) ?? [];
    await server.restore('before-hole', { words: [option, value, '--action', 'promote'] });
    await using restored = await server.adopt('before-hole');
    await restored.server.start();
    await waitForRecovery(restored, 'promote');
    expect(await rowsOf(restored)).toBe(String(2 * ROWS_PER_STEP));
  });

  test('a segment that vanishes after the plan ends recovery FATAL, and it goes on when it is back', async () => {
    const [, , , missing = ''] = segments;
    await server.restore('vanished');
    const hole = await withoutSegment(missing);
    await expectFailedRecovery('vanished', missing);
    await hole[Symbol.asyncDispose]();
    await using restored = await server.adopt('vanished');
    await restored.server.start();
    await waitForRecovery(restored, 'promote');
    expect(await rowsOf(restored)).toBe(String(STEPS * ROWS_PER_STEP));
    expect(await restored.value("select to_regclass('after_the_steps') is not null")).toBe('true');
  });

  /** The server ends by itself, and has no timeline of its own. */
  async function expectFailedRecovery(name: string, segment: string | RegExp): Promise<void> {
    await using restored = await server.adopt(name);
    await restored.server.start().catch(() => {});
    const exit = await restored.server.waitForExit();
    const log = await restored.server.readLog();
    expect(exit).toMatchObject({ exitCode: 1 });
    const file = typeof segment === 'string' ? segment : segment.source;
    expect(log).toMatch(new RegExp(`FATAL: .*could not restore file "${file}" from archive`));
    expect(log).not.toContain('selected new timeline');
    expect(log).not.toContain('archive recovery complete');
  }

  describe('walnut-restore-command', () => {
    let installation: string;
    let command: string;

    beforeAll(async () => {
      installation = await copyInstallation();
      const plan = restorePlanDocument.parse(
        await server.json([...server.restoreWords('plan'), '--dry-run'], { installation }),
      );
      command = plan.settings['restore_command'] ?? '';
    });

    async function copyInstallation(): Promise<string> {
      const folder = join(cluster.workFolder, 'installation');
      await mkdir(folder, { mode: 0o755 });
      for (const part of ['bin', 'dist', 'build', 'package.json']) {
        await cp(join(inject('installation'), part), join(folder, part), { recursive: true });
      }
      await symlink(join(inject('installation'), 'node_modules'), join(folder, 'node_modules'));
      return folder;
    }

    /** Runs the command as PostgreSQL would, and answers what the server would see. */
    async function ask(
      file: string,
      { destination = join(cluster.workFolder, 'asked'), env = {} } = {},
    ): Promise<Answer> {
      await rm(destination, { force: true });
      const text = command.replaceAll('%f', file).replaceAll('%p', destination);
      return await new Promise((fulfil) => {
        const child = execFile(
          '/bin/sh',
          ['-c', text],
          {
            cwd: cluster.dataFolder,
            env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...env },
            timeout: COMMAND_LIMIT_MS,
            killSignal: 'SIGKILL',
            ...spawnIdentity(cluster.server.user),
          },
          (_error, stdout, stderr) =>
            fulfil({ code: child.exitCode ?? -1, output: `${stdout}${stderr}` }),
        );
      });
    }

    /** Breaks something by renaming it, and mends it afterwards. */
    async function whileGone<T>(path: string, act: () => Promise<T>): Promise<T> {
      await rename(path, `${path}.gone`);
      try {
        return await act();
      } finally {
        await rename(`${path}.gone`, path);
      }
    }

    async function whileMode<T>(path: string, mode: number, act: () => Promise<T>): Promise<T> {
      await chmod(path, 0);
      try {
        return await act();
      } finally {
        await chmod(path, mode);
      }
    }

    async function whileConfigured<T>(text: string, act: () => Promise<T>): Promise<T> {
      await writeFile(server.config, text);
      try {
        return await act();
      } finally {
        await server.configure();
      }
    }

    test('answers 0 for what is there and 1 for what lies behind the plan, and nothing else', async () => {
      expect(await ask(segments[0] ?? '')).toMatchObject({ code: 0 });
      expect(await ask('0000000100000000000000F0')).toMatchObject({ code: 1 });
      expect(await ask('00000002.history')).toMatchObject({ code: 1 });
    });

    const FAULTS: Readonly<Record<string, () => Promise<Answer>>> = {
      'the program is gone': () => whileGone(join(installation, 'dist'), () => ask(wanted())),
      'one module is gone': () =>
        whileGone(join(installation, 'dist/cli/wal-fetch.js'), () => ask(wanted())),
      'the dependencies are gone': () =>
        whileGone(join(installation, 'node_modules'), () => ask(wanted())),
      'bin/walnut is gone': () => whileGone(join(installation, 'bin/walnut'), () => ask(wanted())),
      'bin/walnut may not be run': () =>
        whileMode(join(installation, 'bin/walnut'), 0o755, () => ask(wanted())),
      'the command itself is gone': () =>
        whileGone(join(installation, 'bin/walnut-restore-command'), () => ask(wanted())),
      'the configuration is gone': () => whileGone(server.config, () => ask(wanted())),
      'the configuration is no TOML': () => whileConfigured('[repository', () => ask(wanted())),
      'the configuration knows no such server': () =>
        whileConfigured('[repository.main]\nurl = "file:///nowhere"\n', () => ask(wanted())),
      'the configuration may not be read': () =>
        whileMode(server.config, 0o600, () => ask(wanted())),
      'NODE_OPTIONS names a missing module': () =>
        ask(wanted(), { env: { NODE_OPTIONS: '--require /nowhere/module.js' } }),
      'NODE_OPTIONS holds nonsense': () => ask(wanted(), { env: { NODE_OPTIONS: '--nonsense' } }),
      'NODE_OPTIONS leaves no memory': () =>
        ask(wanted(), { env: { NODE_OPTIONS: '--max-old-space-size=1' } }),
      'the repository is gone': () => whileGone(server.repository, () => ask(wanted())),
      'the repository may not be read': () =>
        whileMode(server.repository, 0o700, () => ask(wanted())),
      'the segment is not there': async () => {
        await using _ = await withoutSegment(wanted());
        return await ask(wanted());
      },
      'the destination has no folder': () =>
        ask(wanted(), { destination: join(cluster.workFolder, 'no/such/folder') }),
    };

    function wanted(): string {
      return segments[1] ?? '';
    }

    test.each(Object.keys(FAULTS))('answers 126 or more when %s', async (fault) => {
      const answer = await FAULTS[fault]?.();
      expect(answer).toSatisfy(isNoEndOfWal);
      // Mended, it works again: the fault was the one that was meant.
      expect(await ask(wanted())).toMatchObject({ code: 0 });
    });

    test('answers 126 or more when the disk of the destination is full', async (context) => {
      const place = { sizeBytes: 256 * 1024, user: cluster.server.user };
      const disk = await mountSmallDisk(join(cluster.workFolder, 'small'), place);
      if (typeof disk === 'string') {
        context.skip(disk);
        return;
      }
      await using _ = disk;
      const answer = await ask(wanted(), { destination: join(disk.path, 'segment') });
      expect(answer).toSatisfy(isNoEndOfWal);
      expect(answer.output).toMatch(/full|no space/i);
    });

    test('a server whose command is broken does not promote, and recovers once it is mended', async () => {
      await server.json(server.restoreWords('broken'), { installation });
      await whileGone(join(installation, 'dist'), async () =>
        expectFailedRecovery('broken', /[0-9A-F]{24}/),
      );
      await using restored = await server.adopt('broken');
      await restored.server.start();
      await waitForRecovery(restored, 'promote');
      expect(await rowsOf(restored)).toBe(String(STEPS * ROWS_PER_STEP));
    });
  });
});
