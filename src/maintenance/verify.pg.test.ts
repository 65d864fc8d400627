/** `verify` on what real backups and a real receiver have stored. */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCluster, type TestCluster } from '../../test/support/cluster.ts';
import { randomBelow, seededRandom } from '../../test/support/random.ts';
import { makeTestArchive, startReceiver, type TestArchive } from '../../test/support/receiving.ts';
import { populate } from '../../test/support/schema.ts';
import { startLoad } from '../../test/support/load.ts';
import { testSeed, versions } from '../../test/support/matrix.ts';
import { runWalnut } from '../../test/support/walnut.ts';
import { verify as engine } from './verify.ts';
import type { VerifyReport } from './verify-types.ts';
import { backupDocument, listDocument, showDocument, verifyDocument } from '../api/contract.ts';

const silent = { planned() {}, phase() {}, checked() {}, damageFound() {} };

/** Bits flipped in each repository, in objects drawn at random. */
const FLIPS = 8;

describe.each(versions([18], [13, 18]))('verify on PostgreSQL %i', (major) => {
  let cluster: TestCluster;
  let archive: TestArchive;
  const backups: string[] = [];

  beforeAll(async () => {
    cluster = await testCluster({ major, initdb: { walSegmentMegabytes: 1 } });
    await populate(cluster, { scale: 0.1 });
    archive = await makeTestArchive(cluster, {
      user: 'walnut',
      toml: `data_directory = "${cluster.dataFolder}"\n`,
    });
    const running = startReceiver(cluster, archive);
    await running.receiver.streaming;
    const load = startLoad(cluster);
    for (const source of ['local', 'connection', 'stream']) {
      const ran = await runWalnut(['backup', 'shop', '--from', source, '--json'], {
        config: archive.config,
        asUser: 'self',
      });
      if (ran.exitCode !== 0) throw new Error(ran.stdout + ran.stderr);
      backups.push(backupDocument.parse(ran.json()).id);
    }
    await load.stop();
    await running.stop();
  });

  afterAll(async () => {
    await cluster?.dispose();
  });

  async function verify(...words: string[]): Promise<ReturnType<typeof verifyDocument.parse>> {
    const ran = await runWalnut(['verify', 'shop', '--json', ...words], {
      config: archive.config,
      asUser: 'self',
    });
    const document = verifyDocument.parse(ran.json());
    expect(ran.exitCode).toBe(document.damaged.length === 0 ? 0 : 3);
    return document;
  }

  async function verifyHere(): Promise<VerifyReport> {
    const { store } = archive;
    const options = {
      store,
      servers: ['shop'],
      backup: null,
      samplePercent: null,
      jobs: 1,
      now: new Date(),
    };
    return engine(options, silent, new AbortController().signal);
  }

  test('finds nothing wrong with backups of every source and the WAL received meanwhile', async () => {
    const { damaged, checkedObjects } = await verify();
    expect(damaged).toEqual([]);
    expect(checkedObjects).toBeGreaterThan(20);
    for (const id of backups) expect((await verify('--backup', id)).damaged).toEqual([]);
  });

  test('list and show print the documents of the contract', async () => {
    const { config } = archive;
    const options = { config, asUser: 'self' } as const;
    const listed = listDocument.parse((await runWalnut(['list', '--json'], options)).json());
    expect(listed.servers[0]?.backups.map(({ id }) => id)).toEqual(backups);
    expect(listed.servers[0]?.recoveryWindows).toHaveLength(1);
    expect(listed.servers[0]?.gaps).toEqual([]);
    for (const id of backups) {
      const shown = await runWalnut(['show', 'shop', id, '--json'], options);
      expect(showDocument.parse(shown.json())).toMatchObject({ id, server: 'shop' });
    }
  });

  test('finds a flipped bit in any object, drawn at random', async () => {
    const random = seededRandom(`${testSeed()}/verify/${major}`);
    const entries = await readdir(archive.folder, { recursive: true, withFileTypes: true });
    const objects = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(archive.folder.length))
      .filter((path) => !/^\/tmp\/|\/(?:lease|verified|\.[^/]+)\//.test(path))
      .map((path) => `${archive.folder}${path}`);
    for (let count = 0; count < FLIPS; count += 1) {
      const path = objects[randomBelow(random, objects.length)] ?? '';
      const bit = randomBelow(random, (await stat(path)).size * 8);
      const sound = await readFile(path);
      const broken = Buffer.from(sound);
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await writeFile(path, broken);
      const { damaged } = await verifyHere();
      await writeFile(path, sound);
      expect(damaged.map(({ key }) => join(archive.folder, key))).toContain(path);
    }
    expect((await verifyHere()).damaged).toEqual([]);
  });
});
