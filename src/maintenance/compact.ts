/**
 * Rewrites packs of which little is still needed, without the database host: new packs, then a new revision of each
 * manifest concerned, then the old ones go by name. Killed at any moment every backup is whole; the next run finishes.
 */
import type { BackupRecord } from '../catalog/backup-catalog.ts';
import { planDeletion, type NamedObject } from '../catalog/backup-deletion.ts';
import { recordKnownDamage, type KnownFaults } from '../catalog/known-damage.ts';
import { announceDeletion, leaseLost } from '../catalog/readers.ts';
import { thisProcess } from '../lib/this-process.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { backupKeys, parseRevision, serverKeys } from '../repository/layout.ts';
import { loadManifest, storeManifest, type Manifest } from '../repository/manifest.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { planCompaction, type CompactionPlan, type PackPlan } from './compaction-plan.ts';
import { removeNames, removeUnreached, type DeletionRun } from './delete-objects.ts';
import { FrameMover } from './frame-mover.ts';
import { moveFrames, type DamagedPack } from './move-frames.ts';
import { MapRewriter } from './rewrite-map.ts';

export type CompactOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  /** Packs of which a smaller share is live are rewritten. */
  readonly thresholdPercent: number;
  readonly now: Date;
  readonly dryRun: boolean;
  /** zstd level of what is compressed anew. */
  readonly level: number;
};

export type CompactProgress = {
  /** Told once, before anything is written. */
  readonly planned: (packs: readonly PackPlan[]) => void;
  /** Old packs that are done with. */
  readonly rewritten: (packs: number) => void;
};

export type CompactOutcome = {
  readonly packs: readonly PackPlan[];
  readonly damaged: readonly (DamagedPack & { readonly backups: readonly BackupId[] })[];
  readonly revisions: ReadonlyMap<BackupId, number>;
  readonly writtenBytes: number;
  readonly freedBytes: number;
};

/** Packs rewritten before their manifests are: bounds the memory of where frames moved, and the space needed on the way. */
const ROUND_PACKS = 32;
const COMMAND = 'compact';

/**
 * @throws WalnutError `locked` while a backup or a deletion runs, or when a reader comes in between; `object-damaged` when
 * the needs of a backup cannot be read.
 */
export async function compact(
  options: CompactOptions,
  progress: CompactProgress,
  signal: AbortSignal,
): Promise<CompactOutcome> {
  const { store, server, dryRun } = options;
  if (dryRun) {
    const { packs } = await planCompaction(options);
    progress.planned(packs);
    return { packs, damaged: [], revisions: new Map(), writtenBytes: 0, freedBytes: 0 };
  }
  const lease = await store.acquireLease(serverKeys.backupLease(server), thisProcess(COMMAND));
  try {
    const freed: NamedObject[] = [];
    const onDeleted = (object: NamedObject): void => void freed.push(object);
    const run = { store, server, command: COMMAND, lease, signal, onDeleted };
    return await new Compaction(options, progress, { run, freed }).work();
  } finally {
    await lease.release();
  }
}

type Work = { readonly run: DeletionRun; readonly freed: readonly NamedObject[] };

class Compaction {
  readonly #options: CompactOptions;
  readonly #progress: CompactProgress;
  readonly #run: DeletionRun;
  readonly #freed: readonly NamedObject[];
  readonly #damaged: DamagedPack[] = [];
  readonly #revisions = new Map<BackupId, number>();
  #writtenBytes = 0;

  constructor(options: CompactOptions, progress: CompactProgress, { run, freed }: Work) {
    this.#options = options;
    this.#progress = progress;
    this.#run = run;
    this.#freed = freed;
  }

  async work(): Promise<CompactOutcome> {
    let plan = await planCompaction(this.#options);
    const { packs, catalog } = plan;
    this.#progress.planned(packs);
    await this.#removeLeftovers(plan);
    const left = packs.filter(({ heldBack }) => heldBack === null).map(({ key }) => key);
    while (left.length > 0) {
      await this.#round(plan, left.splice(0, ROUND_PACKS));
      if (left.length > 0) plan = await planCompaction(this.#options);
    }
    const damaged = this.#damaged.map((pack) => ({
      ...pack,
      backups: backupsWith(catalog.backups, new Set([pack.key])).map(({ id }) => id),
    }));
    const freedBytes = this.#freed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const writtenBytes = this.#writtenBytes;
    return { packs, damaged, revisions: this.#revisions, writtenBytes, freedBytes };
  }

  /** What an earlier run was killed before. */
  async #removeLeftovers({ catalog, objects }: CompactionPlan): Promise<void> {
    const { leftovers } = planDeletion({ catalog, objects, wanted: [] });
    await removeUnreached(this.#run, leftovers);
  }

  async #round(plan: CompactionPlan, keys: readonly string[]): Promise<void> {
    const { store, server, level } = this.#options;
    const concerned = backupsWith(plan.catalog.backups, new Set(keys));
    const newest = concerned
      .map(({ id }) => id)
      .toSorted(byText)
      .at(-1);
    if (newest === undefined) return;
    const firstNumber = nextPackNumber(plan.objects, backupKeys.folder(server, newest));
    const mover = new FrameMover({ store, server, id: newest, firstNumber, level });
    let packs: readonly FinishedPack[];
    try {
      const found = await moveFrames(
        { store, mover, live: plan.live, signal: this.#run.signal },
        keys,
      );
      await this.#noteDamage(found);
      packs = await mover.finish();
    } catch (error) {
      await mover.abort();
      throw error;
    }
    this.#writtenBytes += packs.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    const { moved } = mover;
    const users = backupsWith(plan.catalog.backups, new Set(moved.keys()));
    const rewriter = new MapRewriter({ store, server, moved, packs });
    const manifests: [BackupRecord, Manifest][] = [];
    for (const user of users) manifests.push([user, await rewriter.rewrite(user.manifest)]);
    await this.#replaceManifests(manifests, packs);
    await this.#removeOld(plan, manifests);
    this.#progress.rewritten(moved.size);
  }

  async #noteDamage(found: readonly DamagedPack[]): Promise<void> {
    if (found.length === 0) return;
    this.#damaged.push(...found);
    const damaged = new Map(
      found.map(({ key, frames }): [string, KnownFaults] => [
        key,
        frames === 'all' ? 'all' : new Set(frames),
      ]),
    );
    const { store, server } = this.#options;
    await recordKnownDamage(store, server, { damaged, wasReadWhole: () => false });
  }

  async #replaceManifests(
    manifests: readonly (readonly [BackupRecord, Manifest])[],
    packs: readonly FinishedPack[],
  ): Promise<void> {
    const { store, server } = this.#options;
    const backups = manifests.map(([{ id }]) => id);
    const announcement = { ...this.#run, backups };
    await announceDeletion(store, announcement, async () => {
      await this.#requireStored(packs);
      for (const [record, manifest] of manifests) {
        await this.#requireUnchanged(record);
        const names = await store.listFolder(backupKeys.folder(server, record.id));
        const taken = names.flatMap((name) =>
          name.startsWith('manifest-') ? (parseRevision(name) ?? []) : [],
        );
        const revision = Math.max(record.revision, ...taken) + 1;
        await storeManifest(store, manifest, revision);
        this.#revisions.set(record.id, revision);
        if (!(await this.#run.lease.isHeld())) throw leaseLost(COMMAND, server);
        const { manifestKey: key } = record;
        await removeNames(this.#run, [{ key, sizeBytes: 0 }]);
      }
    });
  }

  async #requireStored(packs: readonly FinishedPack[]): Promise<void> {
    for (const { key, storedBytes } of packs) {
      const info = await this.#options.store.stat(key);
      if (info?.sizeBytes !== storedBytes) throw changedMeanwhile(key);
    }
    if (!(await this.#run.lease.isHeld())) throw leaseLost(COMMAND, this.#options.server);
  }

  async #requireUnchanged({ id, manifestKey }: BackupRecord): Promise<void> {
    const present = await loadManifest(this.#options.store, this.#options.server, id);
    if (present?.key !== manifestKey) throw changedMeanwhile(manifestKey);
  }

  /** Packs and chunks of the old revisions that the new ones name no more. */
  async #removeOld(
    { catalog, objects }: CompactionPlan,
    manifests: readonly (readonly [BackupRecord, Manifest])[],
  ): Promise<void> {
    const next = new Map(manifests.map(([{ id }, manifest]) => [id, manifest]));
    const named = new Set<string>();
    for (const backup of catalog.backups) {
      const { chunks, packs } = next.get(backup.id) ?? backup.manifest;
      for (const { key } of [...chunks, ...packs]) named.add(key);
    }
    const before = new Set<string>();
    for (const [{ manifest }] of manifests) {
      for (const { key } of [...manifest.chunks, ...manifest.packs]) before.add(key);
    }
    const old = objects.filter(({ key }) => before.has(key) && !named.has(key));
    await removeUnreached(this.#run, old);
  }
}

function backupsWith(
  backups: readonly BackupRecord[],
  packs: ReadonlySet<string>,
): readonly BackupRecord[] {
  return backups.filter(({ manifest }) => manifest.packs.some(({ key }) => packs.has(key)));
}

function nextPackNumber(objects: readonly NamedObject[], folder: string): number {
  const numbers = objects
    .filter(({ key }) => key.startsWith(`${folder}pack-`))
    .map(({ key }) => Number(key.slice(folder.length + 'pack-'.length)));
  return Math.max(0, ...numbers) + 1;
}

function byText(one: string, other: string): number {
  return one < other ? -1 : 1;
}

function changedMeanwhile(key: string): WalnutError {
  return new WalnutError('failed', `compact: ${key} has changed meanwhile`, {
    hint: 'Something else changes this repository; find it, then run the command again.',
  });
}
