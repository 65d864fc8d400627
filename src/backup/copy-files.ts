/** Copies the files of a cluster into packs and writes the backup's map, in byte order of the paths. */
import type { BackupId } from '../repository/backup-id.ts';
import { BackupMapWriter, type ChunkReference } from '../repository/backup-map.ts';
import { backupKeys } from '../repository/layout.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BlockDamage, WorkerSource } from './copy-messages.ts';
import { planTasks } from './copy-tasks.ts';
import type { CopyWorkers } from './copy-workers.ts';
import type { CopyRules } from './decide-file.ts';
import { EarlierFiles, type EarlierSources } from './earlier-files.ts';
import type { Sharing } from './earlier-pages.ts';
import type { ListedFile } from './list-files.ts';
import { MapAssembler, type CopyTotals, type MapOrder, type Outcome } from './map-assembler.ts';
import type { BackupProgress } from './progress.ts';

export type CopyOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly id: BackupId;
  readonly source: WorkerSource;
  readonly workers: CopyWorkers;
  readonly level: number;
  readonly rateBytesPerSecond: number | null;
  readonly verifyChecksums: boolean;
  readonly startLsn: bigint;
  readonly sharing: Sharing;
  /** The map whose chunks may be named again. */
  readonly earlierChunks: readonly ChunkReference[];
  readonly progress: BackupProgress;
  readonly signal: AbortSignal;
};

export type CopyResult = {
  readonly chunks: readonly ChunkReference[];
  readonly packs: readonly FinishedPack[];
  /** Plain bytes that the map refers to, by pack, also of earlier backups. */
  readonly livePlainBytes: ReadonlyMap<string, number>;
  readonly damage: readonly BlockDamage[];
  readonly totals: CopyTotals;
};

/** A running copy by workers that others started and end, and the map that grows behind them. */
export class FileCopy {
  readonly workers: CopyWorkers;
  readonly #map: MapAssembler;
  readonly #damage: BlockDamage[] = [];
  readonly #outcomes = new Map<number, readonly Outcome[]>();

  constructor(options: CopyOptions, order: MapOrder) {
    const { store, server, id, level, source, verifyChecksums, startLsn, workers } = options;
    const writer = new BackupMapWriter(store, { server, id }, options.earlierChunks);
    this.#map = new MapAssembler(writer, order, backupKeys.folder(server, id));
    const rate = options.rateBytesPerSecond;
    this.workers = workers;
    workers.begin(
      {
        store: store.description,
        server,
        id,
        level,
        source,
        verifyChecksums,
        startLsn,
        sharing: options.sharing,
        packNumbers: new SharedArrayBuffer(4),
        rateBytesPerSecond: rate === null ? null : rate / workers.count,
      },
      {
        onRead: (readBytes, storedBytes) => options.progress.copied(readBytes, storedBytes),
        onResults: async (task, results) => {
          const outcomes = this.#outcomes.get(task);
          this.#outcomes.delete(task);
          if (outcomes !== undefined) return this.#map.addTask(outcomes, results);
          for (const result of results) await this.#map.addResult(result, []);
        },
        onDamage: (damage) => this.#damage.push(...damage),
      },
    );
  }

  /** What becomes of the files of a task that is about to be sent. */
  expect(task: number, outcomes: readonly Outcome[]): void {
    this.#outcomes.set(task, outcomes);
  }

  /** Waits until every file is copied and durable. */
  async finish(): Promise<CopyResult> {
    const packs = await this.workers.finish();
    const chunks = await this.#map.finish();
    const { totals, livePlainBytes } = this.#map;
    return { packs, chunks, livePlainBytes, damage: this.#damage, totals };
  }
}

/** What a copy may rest on. */
export type CopyGround = { readonly earlier: EarlierSources; readonly rules: CopyRules };

/** Copies what a listing yields (`local`, `connection`). */
export async function copyFiles(
  files: AsyncIterable<ListedFile>,
  { earlier, rules }: CopyGround,
  options: CopyOptions,
): Promise<CopyResult> {
  const known = await EarlierFiles.open(earlier);
  const copy = new FileCopy(options, { sorted: true });
  for await (const { task, outcomes } of planTasks(files, known, rules)) {
    options.signal.throwIfAborted();
    copy.expect(task.number, outcomes);
    if (task.items.length > 0) await copy.workers.send({ kind: 'task', task });
    else await copy.workers.skip(task.number);
  }
  return copy.finish();
}
