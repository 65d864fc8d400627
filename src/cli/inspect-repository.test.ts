import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  STORED_BACKUP_ID,
  exampleManifest,
  storeBackup,
} from '../../test/support/stored-backup.ts';
import {
  expectedWal,
  fixtureSegment,
  FIXTURE_SEGMENT_BYTES,
} from '../../test/fixtures/wal/load.ts';
import { listDocument, showDocument, verifyDocument } from '../api/contract.ts';
import { storeSegment } from '../archive/store-segment.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { storeManifest } from '../repository/manifest.ts';
import { addIncarnation, createRepository } from '../repository/repository.ts';
import { openFilesystemStore } from '../storage/filesystem/filesystem-store.ts';
import { createOutput } from './render/output.ts';
import { runCommandLine } from './run-command-line.ts';

const LABEL = `START WAL LOCATION: 0/A00028 (file 00000001000000000000000A)
CHECKPOINT LOCATION: 0/A00060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 19:15:00 UTC
LABEL: walnut
START TIMELINE: 1
`;
const DAMAGED = '20261122T201500Z-F' as BackupId;
const { systemIdentifier } = expectedWal(18);
const SEGMENTS = ['0A', '0B', '0C', '0D'].map((end) => `0000000100000000000000${end}`);

let folder: string;
let config: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walnut-inspect-'));
  config = join(folder, 'walnut.toml');
  const repository = join(folder, 'repository');
  const servers = ['shop', 'crm'].map((name) => `[server.${name}]\nconnection = "host=db1"\n`);
  await writeFile(config, `[repository.main]\nurl = "file://${repository}"\n${servers.join('')}`);
  await mkdir(repository);
  const store = await openFilesystemStore({ kind: 'filesystem', path: repository });
  await createRepository(store, new Date());
  const facts = {
    systemIdentifier,
    majorVersion: 18,
    walSegmentBytes: FIXTURE_SEGMENT_BYTES,
    firstSeenAt: '2026-11-22T19:00:00.000Z',
  };
  const { incarnations } = await addIncarnation(store, 'shop', facts);
  const [incarnation = facts] = incarnations;
  for (const name of SEGMENTS) {
    const bytes = fixtureSegment(18, name);
    await storeSegment({ store, server: 'shop', incarnation, level: 1 }, { name, bytes });
  }
  const { cluster } = exampleManifest({});
  const common = {
    systemIdentifier,
    backupLabel: Buffer.from(LABEL).toString('base64'),
    cluster: { ...cluster, walSegmentBytes: FIXTURE_SEGMENT_BYTES },
    settings: { server_version: '18.4', wal_level: 'replica' },
  };
  const sound = await storeBackup({
    store,
    manifest: { ...common, startLsn: '0/A00028', stopLsn: '0/A00150', name: 'before the sale' },
    files: [{ path: 'base/5/1000', kind: 'relation', content: Buffer.alloc(8192 * 4, 5) }],
  });
  await store.replace(`shop/backup/${STORED_BACKUP_ID}/keep`, Buffer.from('{}'));
  const damage = [{ file: 'base/5/1000', block: 3, relation: 'shop.public.orders' }];
  const positions = { startLsn: '0/B00028', stopLsn: '0/B00150' };
  await storeManifest(store, { ...sound, ...positions, id: DAMAGED, damage, name: null }, 1);
  await store.close();
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

async function run(...words: string[]): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const streams = {
    stdout: { write: (text: string) => void (stdout += text) },
    stderr: { write: (text: string) => void (stderr += text) },
  };
  const code = await runCommandLine(words, {
    signal: new AbortController().signal,
    environment: { WALNUT_CONFIG: config },
    packageRoot: '/',
    version: '1.2.3',
    now: () => new Date('2026-11-23T12:00:00Z'),
    createOutput: (json) => createOutput(streams, { json }),
  });
  return { code, stdout, stderr };
}

describe('walnut list', () => {
  test('prints the document of the contract for every configured server', async () => {
    const { code, stdout } = await run('list', '--json');
    expect(code).toBe(0);
    const { servers } = listDocument.parse(JSON.parse(stdout));
    expect(servers[0]).toMatchObject({
      name: 'shop',
      systemIdentifier,
      majorVersion: 18,
      backups: [
        { id: STORED_BACKUP_ID, damaged: false, kept: true, startLsn: '0/A00028' },
        { id: DAMAGED, damaged: true, kept: false },
      ],
      recoveryWindows: [
        { timeline: 1, from: '2026-11-22T19:16:00.000Z', fromLsn: '0/A00150', toLsn: '0/E00000' },
      ],
      gaps: [],
    });
    expect(servers[1]).toEqual({
      name: 'crm',
      systemIdentifier: null,
      majorVersion: null,
      backups: [],
      recoveryWindows: [],
      gaps: [],
    });
  });

  test('shows people what is damaged, kept and restorable, and what to do without a backup', async () => {
    const { stdout } = await run('list');
    expect(stdout).toContain(`shop: PostgreSQL 18, system ${systemIdentifier}`);
    expect(stdout).toMatch(new RegExp(`${STORED_BACKUP_ID} +full .*kept, "before the sale"`));
    expect(stdout).toMatch(new RegExp(`${DAMAGED} +full .*DAMAGED: 1 page on the server`));
    expect(stdout).toContain('Can be restored to any moment\n    timeline 1: from 2026-11-22 ');
    expect(stdout).toContain('walnut backup crm');
  });

  test('shows a gap, and a backup whose manifest cannot be read', async () => {
    const segment = await pathOf('0000000C');
    const manifest = join(folder, 'repository/shop/backup', DAMAGED, 'manifest-0001');
    await whileBroken([segment, manifest], async () => {
      const { stdout, stderr, code } = await run('list', 'shop');
      expect(code).toBe(0);
      expect(stdout).toContain('WAL is missing\n    timeline 1: 0/C00000 to 0/D00000, 1.05 MB');
      expect(stdout).toMatch(new RegExp(`${DAMAGED} .*UNREADABLE`));
      expect(stderr).toContain(`shop: backup ${DAMAGED} cannot be used`);
    });
  });
});

describe('walnut show', () => {
  test('prints the document of the contract', async () => {
    const { code, stdout } = await run('show', 'shop', STORED_BACKUP_ID, '--json');
    expect(code).toBe(0);
    expect(showDocument.parse(JSON.parse(stdout))).toMatchObject({
      id: STORED_BACKUP_ID,
      server: 'shop',
      name: 'before the sale',
      checkpointLsn: '0/A00060',
      serverVersion: '18.4',
      packs: 1,
      settings: { wal_level: 'replica' },
    });
  });

  test('shows the newest by name, with its damage', async () => {
    const { stdout } = await run('show', 'shop', 'latest');
    expect(stdout).toContain(`Backup ${DAMAGED} of server shop`);
    expect(stdout).toContain('base/5/1000, block 3, of shop.public.orders');
    expect(stdout).toContain(`walnut restore shop --backup ${DAMAGED} --target DIR`);
  });

  test('refuses an id that is not there', async () => {
    const { code, stderr } = await run('show', 'shop', '20200101T000000Z-F');
    expect(code).toBe(1);
    expect(stderr).toContain('walnut list shop');
  });
});

describe('walnut verify', () => {
  test('ends with 0 when nothing is damaged', async () => {
    const { code, stdout } = await run('verify', '--json', '--jobs', '1');
    expect(code).toBe(0);
    expect(verifyDocument.parse(JSON.parse(stdout))).toMatchObject({ damaged: [] });
    expect((await run('verify', '--jobs', '1')).stdout).toContain('Nothing is damaged.');
  });

  test('ends with 3 and names what is damaged and whom it hits', async () => {
    const pack = join(folder, 'repository/shop/backup', STORED_BACKUP_ID, 'pack-000001');
    await whileBroken([pack], async () => {
      const { code, stdout } = await run('verify', 'shop', '--json', '--jobs', '1');
      expect(code).toBe(3);
      expect(verifyDocument.parse(JSON.parse(stdout)).damaged).toMatchObject([
        {
          key: `shop/backup/${STORED_BACKUP_ID}/pack-000001`,
          backups: [STORED_BACKUP_ID, DAMAGED],
        },
      ]);
      const text = await run('verify', 'shop', '--jobs', '1');
      expect(text.code).toBe(3);
      expect(text.stdout).toContain('affects  base/5/1000: blocks 0–3');
      expect(text.stdout).toContain('Take a full backup now');
    });
  });

  test('reports a damaged descriptor instead of refusing the repository', async () => {
    await whileBroken([join(folder, 'repository/walnut.json')], async () => {
      const { code, stdout } = await run('verify', 'shop', '--json', '--jobs', '1');
      expect(code).toBe(3);
      expect(JSON.parse(stdout).damaged).toMatchObject([{ key: 'walnut.json' }]);
    });
  });

  test('wants the server of a backup named when there are several', async () => {
    expect((await run('verify', '--backup', STORED_BACKUP_ID)).code).toBe(2);
  });
});

async function pathOf(end: string): Promise<string> {
  const incarnation = `${systemIdentifier}-18`;
  return join(folder, 'repository/shop/wal', incarnation, `00000001/0000000100000000${end}`);
}

/** Takes segments away and flips a bit of anything else while `work` runs. */
async function whileBroken(paths: readonly string[], work: () => Promise<void>): Promise<void> {
  const contents = await Promise.all(
    paths.map(async (path) => [path, await readFile(path)] as const),
  );
  for (const [path, content] of contents) {
    if (/[0-9A-F]{24}$/.test(path)) await rm(path);
    else {
      const broken = Buffer.from(content);
      broken[170] = (broken[170] ?? 0) ^ 1;
      await rm(path);
      await writeFile(path, broken);
    }
  }
  try {
    await work();
  } finally {
    for (const [path, content] of contents) {
      await rm(path, { force: true });
      await writeFile(path, content);
    }
  }
}
