import { runBackup } from '../backup/backup.ts';
import type { BackupOptions } from '../backup/backup-options.ts';
import type { ServerConfiguration } from '../config/configuration.ts';
import { ERROR_CODES } from '../lib/walnut-error.ts';
import type { BackupType } from '../repository/backup-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { backupDocument, renderBackup } from './backup-document.ts';
import { showBackupProgress } from './backup-progress.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './context.ts';
import { productVersion } from './product-version.ts';
import { withRepository } from './repository-access.ts';
import { connectionSettingsOf } from './server-access.ts';
import { walSupplyOf } from './wal-supply.ts';

export type BackupValues = {
  readonly server: string | undefined;
  readonly type: BackupType | undefined;
  readonly from: BackupOptions['from'] | undefined;
  readonly jobs: number | undefined;
  readonly level: number | undefined;
  readonly checkpoint: BackupOptions['checkpoint'] | undefined;
  readonly name: string | undefined;
  readonly rate: number | undefined;
  readonly fresh: boolean | undefined;
  readonly paranoid: boolean | undefined;
};

export async function runBackupCommand(
  values: BackupValues,
  context: CommandContext,
): Promise<CommandResult> {
  const server = await context.resolveServer(values.server);
  return withRepository(server.repository, async (store) => {
    const options = await optionsOf(values, { context, server, store });
    const progress = showBackupProgress(context.output);
    try {
      const { manifest } = await runBackup(options, progress, context.signal);
      context.output.stopProgress();
      return {
        document: backupDocument(manifest),
        text: renderBackup(manifest),
        exitCode: manifest.damage.length > 0 ? ERROR_CODES['damage-reported'] : 0,
      };
    } finally {
      context.output.stopProgress();
    }
  });
}

type Surroundings = {
  readonly context: CommandContext;
  readonly server: ServerConfiguration;
  readonly store: ObjectStore;
};

async function optionsOf(
  values: BackupValues,
  { context, server, store }: Surroundings,
): Promise<BackupOptions> {
  const connection = await connectionSettingsOf(server);
  return {
    store,
    server: server.name,
    connection,
    dataDirectory: server.dataDirectory,
    backupFrom: server.backupFrom,
    type: values.type ?? null,
    from: values.from ?? 'auto',
    fresh: values.fresh ?? false,
    paranoid: values.paranoid ?? false,
    jobs: values.jobs ?? server.jobs,
    level: values.level ?? server.level,
    checkpoint: values.checkpoint ?? 'fast',
    name: values.name ?? null,
    rateBytesPerSecond: values.rate ?? server.rateBytesPerSecond,
    checkpointTimeoutMs: server.checkpointTimeoutMs,
    walTimeoutMs: server.walTimeoutMs,
    walSupply: walSupplyOf({ server, store, connection, note: context.output.note }),
    walnutVersion: productVersion(context.packageRoot),
  };
}
