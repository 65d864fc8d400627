/** Marks a backup to be kept from retention, or releases it. Takes no lease: a person need not wait for a backup. */
import { removeKeepMark, writeKeepMark, type KeepMark } from '../catalog/keep-mark.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { loadManifest } from '../repository/manifest.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type KeepOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly backup: BackupId;
  /** Null releases it. */
  readonly mark: KeepMark | null;
};

/** @throws WalnutError `no-backup`; `object-damaged` when its manifest cannot be read. */
export async function keepBackup({ store, server, backup, mark }: KeepOptions): Promise<void> {
  await requireBackup({ store, server, backup });
  const place = { server, id: backup };
  if (mark === null) {
    await removeKeepMark(store, place);
    return;
  }
  await writeKeepMark(store, place, mark);
  // A deletion that was faster: the mark alone would promise what is gone.
  await requireBackup({ store, server, backup }).catch(async (error: unknown) => {
    await removeKeepMark(store, place);
    throw error;
  });
}

async function requireBackup({
  store,
  server,
  backup,
}: Pick<KeepOptions, 'store' | 'server' | 'backup'>): Promise<void> {
  if ((await loadManifest(store, server, backup)) !== null) return;
  throw new WalnutError('no-backup', `keep backup ${backup} of server ${server}: there is none`, {
    hint: `\`walnut list ${server}\` shows the backups there are.`,
  });
}
