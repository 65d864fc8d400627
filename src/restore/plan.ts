import { basename, join } from 'node:path';
import { readBackupCatalog, type BackupRecord } from '../catalog/backup-catalog.ts';
import { readWalInventory, type WalInventory } from '../catalog/wal-inventory.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { Setting } from '../postgres/cluster/setting-lines.ts';
import {
  nameOfIncarnation,
  presentIncarnation,
  readServerRecord,
  type Incarnation,
} from '../repository/repository.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { chooseBackup, type PassedOver } from './choose-backup.ts';
import { resolveOwner, type ResolvedOwner } from './file-owner.ts';
import type { Locations } from './locations.ts';
import { MapReader } from './map-reader.ts';
import { inspectDeltaTarget, uncleanWarning, type DeltaTarget } from './delta-target.ts';
import { planContent, planRoom, type PlannedContent, type PlannedRoom } from './plan-content.ts';
import { planDelta, type PlannedDelta } from './plan-delta.ts';
import { planWal, type PlannedWal } from './plan-wal.ts';
import { recoveryOrder, type RecoveryEnd, type RecoveryOrder } from './recovery-end.ts';
import {
  restoreCommandSetting,
  restoreCommandWords,
  type RestoreCommandProgram,
} from './restore-command.ts';
import { planLocations } from './restore-layout.ts';
import type { RestoreRequest } from './restore-request.ts';
import { resolvePath } from './target-folder.ts';
import { changedSettings, restoredSettings, type ChangedSetting } from './restored-settings.ts';

/** Without a source of WAL PostgreSQL still wants a command; this one says "there is no more". */
const NO_MORE_WAL = 'false';
const NAMED_DAMAGE_MAX = 10;

/** Everything a restore is going to do, decided before anything is written. */
export type RestorePlan = {
  readonly request: RestoreRequest;
  readonly backup: BackupRecord;
  readonly inventory: WalInventory;
  readonly passedOver: readonly PassedOver[];
  readonly end: RecoveryEnd;
  readonly order: RecoveryOrder;
  readonly locations: Locations;
  /** Null when the files keep the user who runs this process. */
  readonly owner: ResolvedOwner | null;
  readonly map: MapReader;
  readonly content: PlannedContent;
  /** Null for a restore into an empty folder. */
  readonly delta: PlannedDelta | null;
  readonly room: readonly PlannedRoom[];
  readonly wal: PlannedWal;
  /** The words of restore_command without its placeholders; null with `--wal copy`. */
  readonly restoreCommand: readonly string[] | null;
  /** Appended to postgresql.auto.conf. */
  readonly settings: readonly Setting[];
  readonly changes: readonly ChangedSetting[];
  readonly warnings: readonly string[];
};

export type PlanSources = {
  readonly store: ObjectStore;
  readonly now: Date;
  readonly program: RestoreCommandProgram;
};

/** What is decided first: from which backup, to where, along which WAL. Enough to try restore_command. */
export type RestoreDecision = Pick<
  RestorePlan,
  | 'request'
  | 'backup'
  | 'inventory'
  | 'passedOver'
  | 'end'
  | 'locations'
  | 'owner'
  | 'wal'
  | 'restoreCommand'
> & {
  /** What stands in the target; null without `--delta`. */
  readonly present: DeltaTarget | null;
};

/**
 * Decides how to restore, and refuses what cannot end well. Reads only.
 * @throws WalnutError `no-backup`, `target-unreachable`, `target-not-empty`, `foreign-system`, `disk-full`, `usage`,
 * `object-damaged`
 */
export async function planRestore(
  sources: PlanSources,
  request: RestoreRequest,
): Promise<RestorePlan> {
  return completePlan(sources, await decideRestore(sources, request));
}

/** The first half of {@link planRestore}, which reads no map. */
export async function decideRestore(
  sources: PlanSources,
  request: RestoreRequest,
): Promise<RestoreDecision> {
  const { store, now } = sources;
  const catalog = await readBackupCatalog(store, request.server);
  const named = catalog.backups.find(({ id }) => id === request.backup);
  const incarnation = await incarnationOf(store, request.server, named);
  const inventory = await readWalInventory(store, { server: request.server, incarnation });
  const choice = await chooseBackup({ store, catalog, inventory, now }, request);
  const { backup, end, passedOver } = choice;
  const { manifest } = backup;
  const present = await presentTarget(request, manifest);
  const locations = await planLocations(request, manifest, present);
  const keep = present !== null && present.kind !== 'empty';
  const owner = await resolveOwner(locations.dataDirectory, { wanted: request.owner, keep });
  const wal = planWal(inventory, backup, { end, mode: request.wal });
  const restoreCommand = commandOf(sources.program, { request, end, wal, inventory });
  const decided = { request, backup, inventory, passedOver, end, locations, owner };
  return { ...decided, wal, restoreCommand, present };
}

/** The second half of {@link planRestore}: how much of what goes where, and whether there is room for it. */
export async function completePlan(
  { store, now }: PlanSources,
  decision: RestoreDecision,
): Promise<RestorePlan> {
  const { present, ...decided } = decision;
  const { request, backup, inventory, end, locations, wal, restoreCommand } = decided;
  const { manifest } = backup;
  const { links } = request;
  const map = new MapReader(store, manifest);
  const content = await planContent(map, { locations, links });
  const storedWal = { inventory, fromLsn: backup.startLsn };
  const found = { map, locations, links, storedWal, now };
  const delta = present === null ? null : await planDelta(found, present);
  const bytesByRoot = delta?.growthByRoot ?? content.bytesByRoot;
  const room = await planRoom(neededBytes(bytesByRoot, wal, locations));
  const order = recoveryOrder({
    target: request.target,
    end,
    wanted: request.action,
    consistentLsn: backup.stopLsn,
  });
  const settings = restoredSettings({
    request,
    end,
    order,
    restoreCommand: restoreCommand === null ? NO_MORE_WAL : restoreCommandSetting(restoreCommand),
  });
  const changes = changedSettings(settings, manifest);
  const plan = { ...decided, map, order, content, delta, room, settings, changes };
  return { ...plan, warnings: warningsOf(plan) };
}

async function presentTarget(
  { delta, targetDirectory }: RestoreRequest,
  manifest: Manifest,
): Promise<DeltaTarget | null> {
  return delta ? await inspectDeltaTarget(await resolvePath(targetDirectory), manifest) : null;
}

async function incarnationOf(
  store: ObjectStore,
  server: string,
  named: BackupRecord | undefined,
): Promise<Incarnation> {
  const record = await readServerRecord(store, server);
  if (record === null) {
    throw new WalnutError('no-backup', `restore ${server}: the repository does not know it`, {
      hint: `Check the repository of server ${server} in the configuration, or make a backup: walnut backup ${server}`,
    });
  }
  if (named === undefined) return presentIncarnation(record);
  const own = record.incarnations.find((each) => nameOfIncarnation(each) === named.incarnation);
  if (own !== undefined) return own;
  throw new WalnutError(
    'object-damaged',
    `restore backup ${named.id}: the record of server ${server} does not know its incarnation ${named.incarnation}`,
    { hint: 'Run `walnut verify`.' },
  );
}

function commandOf(
  program: RestoreCommandProgram,
  plan: Pick<RestorePlan, 'request' | 'end' | 'wal' | 'inventory'>,
): string[] | null {
  const { request, end, wal, inventory } = plan;
  if (request.wal === 'copy') return null;
  if (program.configPath === null) {
    throw new WalnutError(
      'config',
      'write restore_command: the configuration came from the environment, which PostgreSQL will not have',
      { hint: 'Write a walnut.toml and name it with --config, or use --wal copy.' },
    );
  }
  const { server, standby } = request;
  return restoreCommandWords(program, { server, incarnation: inventory.name, end, wal, standby });
}

function neededBytes(
  bytesByRoot: ReadonlyMap<string, number>,
  wal: PlannedWal,
  { walDirectory, dataDirectory }: Locations,
): Map<string, number> {
  const needed = new Map(bytesByRoot);
  const walRoot = walDirectory ?? dataDirectory;
  // With `fetch` PostgreSQL brings one segment at a time, and makes one of its own.
  const segments = wal.mode === 'copy' ? wal.segments.length + 1 : 2;
  needed.set(walRoot, (needed.get(walRoot) ?? 0) + segments * wal.segmentBytes);
  return needed;
}

function warningsOf(plan: Omit<RestorePlan, 'warnings'>): string[] {
  const { backup, passedOver, content, delta, owner, request, locations } = plan;
  const warnings = passedOver.map(({ id, reason }) => `backup ${id} is passed over: ${reason}`);
  if (backup.damaged) warnings.push(damageWarning(backup));
  warnings.push(...(delta === null ? [] : deltaWarnings(delta, locations, request)));
  for (const { path, recordedTarget, directory } of content.links) {
    if (directory !== null || delta?.keptLinks.has(path) === true) continue;
    warnings.push(
      `symbolic link ${path} (to ${recordedTarget}) is not made again, and what it led to is not in the backup; ` +
        `--link ${path}=DIR makes it`,
    );
  }
  if (owner?.uid === 0) {
    warnings.push(
      `the files will belong to root, as the folder above ${locations.dataDirectory} does, and PostgreSQL does not run ` +
        'as root: name its account with --owner, or chown -R the folder before the start',
    );
  }
  if (!content.hasConfiguration) {
    const originals =
      backup.manifest.externalFiles.length === 0
        ? 'the originals could not be read when it was made'
        : 'the saved originals come into the folder saved_configuration';
    warnings.push(
      'the backup holds no postgresql.conf (its configuration lies outside the data directory, as on Debian): a minimal ' +
        `one is written; ${originals}`,
    );
  }
  if (request.archiveMode === 'preserve') {
    warnings.push(
      'archive_mode is preserved: once promoted, the restored server runs the archive_command of the old one',
    );
  }
  return warnings;
}

function deltaWarnings(
  { target, keptLinks, removals, unstoredWal }: PlannedDelta,
  { dataDirectory, tablespaces }: Locations,
  { server }: RestoreRequest,
): string[] {
  const unclean = uncleanWarning(target);
  const warnings = unclean === null ? [] : [unclean];
  const { places } = unstoredWal;
  if (places.length > 0) {
    const files = `${places.length} ${places.length === 1 ? 'file' : 'files'}`;
    warnings.push(
      `pg_wal holds WAL that the repository does not have (${files}, the first ${basename(places[0] ?? '')}): it is ` +
        `moved to ${unstoredWal.folder}, not deleted, and not replayed; to have it replayed store it first: walnut wal push ${server} FILE`,
    );
  }
  for (const path of keptLinks) {
    warnings.push(
      `symbolic link ${path} stays as it is; what it leads to is not in the backup and is not touched`,
    );
  }
  for (const [oid, directory] of target.tablespaces) {
    if (tablespaces.some((each) => each.directory === directory)) continue;
    warnings.push(
      `${directory}, the folder of tablespace ${oid}, is left as it is: the restored cluster does not use it`,
    );
  }
  for (const folder of ['log', 'pg_log']) {
    if (!removals.touches(join(dataDirectory, folder))) continue;
    warnings.push(
      `server logs in ${folder} that are younger than the backup are deleted: copy them first if you want to read them`,
    );
  }
  return warnings;
}

function damageWarning({ id, manifest }: BackupRecord): string {
  const named = manifest.damage
    .slice(0, NAMED_DAMAGE_MAX)
    .map(({ file, block, relation }) => `${relation ?? file} block ${block}`);
  const more = manifest.damage.length > named.length ? ', …' : '';
  const count = manifest.totals.damagedPages;
  return `backup ${id} holds ${count} pages that were damaged on the server: ${named.join(', ')}${more}`;
}
