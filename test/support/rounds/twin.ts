import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { adoptCluster, type TestCluster } from '../cluster.ts';
import { waitForRecovery, waitUntil, type ProtectedServer } from '../protected-server.ts';
import { ROUND_TABLESPACES } from './work-context.ts';

/** A named moment of the server: `pg_create_restore_point`, taken while nothing else happened. */
export type Point = { readonly name: string; readonly lsn: string; readonly segment: string };

/**
 * The first full backup, restored, and brought from point to point by PostgreSQL alone, along WAL that the server
 * archived by itself: what a backup of any type has to equal at the same point.
 */
export class Twin {
  readonly #server: ProtectedServer;
  readonly #archiveFolder: string;

  private constructor(server: ProtectedServer, archiveFolder: string) {
    this.#server = server;
    this.#archiveFolder = archiveFolder;
  }

  static async restore(
    server: ProtectedServer,
    backup: string,
    archiveFolder: string,
  ): Promise<Twin> {
    await server.restore('twin', { words: ['--backup', backup], tablespaces: ROUND_TABLESPACES });
    return new Twin(server, archiveFolder);
  }

  get dataFolder(): string {
    return this.#server.restoredFolder('twin');
  }

  /** Replays to the point and stops there, with every page on disk. */
  async advance({ name, segment }: Point): Promise<void> {
    await waitUntil(
      () => `the server archives ${segment}`,
      async () => await Promise.resolve(existsSync(join(this.#archiveFolder, segment))),
      { pollMs: 20 },
    );
    await using cluster = await adoptCluster({
      major: this.#server.cluster.major,
      dataFolder: this.dataFolder,
      overrides: {
        restore_command: restoreCommand(this.#archiveFolder),
        // PostgreSQL refuses even an empty target after a set one.
        recovery_target: '',
        recovery_target_lsn: '',
        recovery_target_time: '',
        recovery_target_xid: '',
        recovery_target_name: name,
        recovery_target_timeline: 'latest',
        recovery_target_action: 'pause',
        archive_mode: false,
      },
    });
    await cluster.server.start();
    await waitForRecovery(cluster, 'pause');
    await stopAtRest(cluster);
  }
}

/** Straight from what the server archived by itself. */
export function restoreCommand(archiveFolder: string): string {
  return `cp ${archiveFolder}/%f %p`;
}

/** A fast shutdown in recovery writes all pages: a checkpoint was replayed after the one that recovery began with. */
export async function stopAtRest(cluster: TestCluster): Promise<void> {
  await cluster.server.stop('fast');
}
