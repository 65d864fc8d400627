import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testCluster, type TestCluster } from '../../../test/support/cluster.ts';
import { sleep } from '../../lib/sleep.ts';
import { readConnectionSettings } from '../connection/connection-settings.ts';
import type { ServerMessage } from '../connection/server-error.ts';
import type { Session } from '../connection/session.ts';
import {
  streamBaseBackup,
  type BaseBackupHandler,
  type BaseBackupResult,
} from './base-backup-stream.ts';
import type { BaseBackupOptions } from './base-backup-messages.ts';
import { identifySystem } from './commands.ts';
import { openReplicationConnection } from './replication-connection.ts';

const SOURCES = {
  environment: {},
  homeFolder: '/nonexistent',
  userName: 'nobody',
  readFile: () => null,
  exists: () => false,
};

describe.each([13, 14, 15, 18] as const)('BASE_BACKUP of version %i', (major) => {
  let cluster: TestCluster;
  let location: string;
  const notices: ServerMessage[] = [];

  beforeAll(async () => {
    cluster = await testCluster({ major, initdb: { dataChecksums: true } });
    location = await cluster.createTablespace('space');
    await cluster.sql('create table far tablespace space as select generate_series(1, 20000) i');
    await cluster.sql('create table near as select generate_series(1, 20000) i');
    await cluster.sql('checkpoint');
  });

  afterAll(async () => {
    await cluster.dispose();
  });

  async function connect(): Promise<Session> {
    const settings = readConnectionSettings(
      cluster.connectionString({ user: 'replicator' }),
      SOURCES,
    );
    const { session } = await openReplicationConnection(settings, {
      applicationName: 'walnut test',
      onNotice: (notice) => notices.push(notice),
    });
    return session;
  }

  type Archive = { location: string | null; bytes: Buffer };

  async function takeBackup(
    session: Session,
    more: Partial<BaseBackupOptions> = {},
    pauseMs: number | null = null,
  ): Promise<{ result: BaseBackupResult; archives: Archive[]; manifest: string; log: string[] }> {
    const archives: { location: string | null; parts: Buffer[] }[] = [];
    const manifest: Buffer[] = [];
    const log: string[] = [];
    const handler: BaseBackupHandler = {
      begin: (start, tablespaces) => void log.push(`begin ${start.timeline} ${tablespaces.length}`),
      archive: (tablespace) => {
        log.push('archive');
        archives.push({ location: tablespace.location, parts: [] });
      },
      data: async (bytes) => {
        archives.at(-1)?.parts.push(bytes);
        if (pauseMs !== null && Math.random() < 0.05) await sleep(pauseMs);
      },
      archiveEnd: () => void log.push('archiveEnd'),
      manifest: (bytes) => void manifest.push(bytes),
    };
    const options = { label: 'walnut', fastCheckpoint: true, ...more };
    const result = await streamBaseBackup(session, options, handler);
    return {
      result,
      log,
      manifest: Buffer.concat(manifest).toString(),
      archives: archives.map((archive) => ({
        location: archive.location,
        bytes: Buffer.concat(archive.parts),
      })),
    };
  }

  /** Enough of tar for whole archives with short names: 512-byte headers, octal sizes, padding. */
  function filesOf(archive: Archive | undefined): Map<string, Buffer> {
    const bytes = archive?.bytes ?? Buffer.alloc(0);
    const files = new Map<string, Buffer>();
    let at = 0;
    while (at < bytes.length && bytes[at] !== 0) {
      const path = bytes.toString('utf8', at, bytes.indexOf(0, at));
      const size = Number.parseInt(bytes.toString('latin1', at + 124, at + 135), 8);
      files.set(path, bytes.subarray(at + 512, at + 512 + size));
      at += 512 + Math.ceil(size / 512) * 512;
    }
    return files;
  }

  test('delivers every tablespace, the data directory last, and the manifest', async () => {
    const session = await connect();
    const { result, archives, manifest, log } = await takeBackup(
      session,
      { manifestChecksums: 'CRC32C' },
      1,
    );
    expect(log).toEqual(['begin 1 2', 'archive', 'archiveEnd', 'archive', 'archiveEnd']);
    expect(archives.map((archive) => archive.location)).toEqual([location, null]);
    expect(result.checksumFailure).toBe(false);
    expect(result.end.lsn).toBeGreaterThan(result.start.lsn);
    expect(result.tablespaces[0]?.sizeKb).toBeGreaterThan(0);
    const files = filesOf(archives[1]);
    expect(files.get('backup_label')?.toString()).toContain('LABEL: walnut\n');
    expect(files.get('tablespace_map')?.toString()).toContain(` ${location}\n`);
    const near = await cluster.value(`select pg_relation_filepath('near')`);
    expect(files.get(near)?.equals(readFileSync(join(cluster.dataFolder, near)))).toBe(true);
    const far = await cluster.value(`select pg_relation_filepath('far')`);
    const inside = far.split('/').slice(2).join('/');
    const farBytes = filesOf(archives[0]).get(inside);
    expect(farBytes?.equals(readFileSync(join(location, inside)))).toBe(true);
    expect(manifest).toContain('"PostgreSQL-Backup-Manifest-Version"');
    expect(manifest).toMatch(/"Manifest-Checksum": "[0-9a-f]{64}"\}\n$/);
    // The connection is good for more.
    expect((await identifySystem(session)).timeline).toBe(1);
    await session.close();
  });

  test('reports damaged pages after complete delivery', async () => {
    const near = await cluster.value(`select pg_relation_filepath('near')`);
    const file = await open(join(cluster.dataFolder, near), 'r+');
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 20_000);
    const session = await connect();
    try {
      await file.write(Buffer.from([(buffer[0] ?? 0) ^ 0xff]), 0, 1, 20_000);
      const { result, archives } = await takeBackup(session);
      expect(result.checksumFailure).toBe(true);
      expect(archives).toHaveLength(2);
      expect(notices.map(({ message }) => message).join('\n')).toContain(near);
      const unchecked = await takeBackup(session, { verifyChecksums: false });
      expect(unchecked.result.checksumFailure).toBe(false);
    } finally {
      await file.write(buffer, 0, 1, 20_000);
      await file.close();
      await session.close();
    }
  });

  test('a taker that fails, now or later, ends the connection and is the error', async () => {
    for (const data of [
      () => {
        throw new Error('disk full');
      },
      async () => {
        await sleep(5);
        throw new Error('disk full');
      },
    ]) {
      const session = await connect();
      const options = { label: 'walnut', fastCheckpoint: true };
      const backup = streamBaseBackup(session, options, { archive: () => {}, data });
      await expect(backup).rejects.toThrow('disk full');
      await session.lost;
    }
  });

  test('can be aborted', async () => {
    const session = await connect();
    const controller = new AbortController();
    const backup = streamBaseBackup(
      session,
      { label: 'walnut', fastCheckpoint: true, signal: controller.signal },
      { archive: () => {}, data: () => controller.abort(new Error('interrupted')) },
    );
    await expect(backup).rejects.toThrow('interrupted');
  });

  test('a refused command leaves the connection usable', async () => {
    const session = await connect();
    const refused = takeBackup(session, { maxRateKb: 1 });
    await expect(refused).rejects.toThrow(/^run BASE_BACKUP: /);
    expect((await identifySystem(session)).timeline).toBe(1);
    await session.close();
  });

  test('a connection that is cut is an error', async () => {
    const session = await connect();
    const backup = streamBaseBackup(
      session,
      { label: 'walnut', fastCheckpoint: true },
      {
        archive: () => {},
        data: async () => {
          await cluster.sql(
            `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'`,
          );
        },
      },
    );
    await expect(backup).rejects.toMatchObject({ code: 'connection' });
  });
});
