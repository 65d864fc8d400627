/** Copies all files of a cluster into packs and writes the backup's map, in byte order of the paths. */
import type { BackupId } from '../repository/backup-id.ts';
import { BackupMapWriter, type ChunkReference } from '../repository/backup-map.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { BlockDamage, CopyItem, CopyTask, WorkerSource } from './copy-messages.ts';
import { CopyWorkers } from './copy-workers.ts';
import type { ListedFile } from './list-files.ts';
import { MapAssembler, type CopyTotals, type MapOrder } from './map-assembler.ts';
import type { BackupProgress } from './progress.ts';

/** What one worker takes at once: large enough that handing out costs nothing, small enough to share work evenly. */
const TASK_BYTES: number = 32 * 1024 * 1024;
const TASK_ITEMS_MAX = 1024;

export type CopyOptions = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly id: BackupId;
  readonly source: WorkerSource;
  readonly jobs: number;
  readonly level: number;
  readonly rateBytesPerSecond: number | null;
  readonly verifyChecksums: boolean;
  readonly startLsn: bigint;
  readonly progress: BackupProgress;
  readonly signal: AbortSignal;
};

export type CopyResult = {
  readonly chunks: readonly ChunkReference[];
  readonly packs: readonly FinishedPack[];
  readonly damage: readonly BlockDamage[];
  readonly totals: CopyTotals;
};

/** A running copy: the workers, and the map that grows behind them. */
export class FileCopy {
  readonly workers: CopyWorkers;
  readonly #map: MapAssembler;
  readonly #damage: BlockDamage[] = [];

  constructor(options: CopyOptions, order: MapOrder) {
    const writer = new BackupMapWriter(options.store, options.server, options.id);
    this.#map = new MapAssembler(writer, order);
    const { store, server, id, level, source, verifyChecksums, startLsn, jobs } = options;
    const rate = options.rateBytesPerSecond;
    this.workers = new CopyWorkers(
      jobs,
      {
        store: store.description,
        server,
        id,
        level,
        source,
        verifyChecksums,
        startLsn,
        packNumbers: new SharedArrayBuffer(4),
        rateBytesPerSecond: rate === null ? null : rate / jobs,
      },
      {
        signal: options.signal,
        observer: {
          onRead: (readBytes, storedBytes) => options.progress.copied(readBytes, storedBytes),
          onResults: async (results) => this.#map.addResults(results),
          onDamage: (damage) => this.#damage.push(...damage),
        },
      },
    );
  }

  /** Waits until every file is copied and durable. */
  async finish(): Promise<CopyResult> {
    const packs = await this.workers.finish();
    const chunks = await this.#map.finish();
    return { packs, chunks, damage: this.#damage, totals: this.#map.totals };
  }
}

/** Copies what a listing yields (`local`, `connection`). */
export async function copyFiles(
  files: AsyncIterable<ListedFile>,
  options: CopyOptions,
): Promise<CopyResult> {
  const copy = new FileCopy(options, { sorted: true });
  try {
    for await (const task of tasksOf(files)) {
      options.signal.throwIfAborted();
      await copy.workers.send({ kind: 'task', task });
    }
    return await copy.finish();
  } finally {
    await copy.workers.terminate();
  }
}

/** Groups files, in their order, into tasks of about equal work. */
async function* tasksOf(files: AsyncIterable<ListedFile>): AsyncGenerator<CopyTask> {
  let number = 0;
  let items: CopyItem[] = [];
  let bytes = 0;
  for await (const file of files) {
    for (const item of slicesOf(file)) {
      items.push(item);
      bytes += item.length;
      if (bytes < TASK_BYTES && items.length < TASK_ITEMS_MAX) continue;
      yield { number, items };
      number += 1;
      items = [];
      bytes = 0;
    }
  }
  if (items.length > 0) yield { number, items };
}

/** Relation files are cut, so that several workers share a large one; any other file needs one hash over all of it. */
function slicesOf(file: ListedFile): CopyItem[] {
  const whole = { ...file, offset: 0, length: file.sizeBytes };
  if (file.kind === 'directory' || file.kind === 'link') return [{ ...whole, length: 0 }];
  if (file.kind === 'file' || file.sizeBytes <= TASK_BYTES) return [{ ...whole, kind: file.kind }];
  const slices: CopyItem[] = [];
  for (let offset = 0; offset < file.sizeBytes; offset += TASK_BYTES) {
    const length = Math.min(TASK_BYTES, file.sizeBytes - offset);
    slices.push({ ...whole, kind: file.kind, offset, length });
  }
  return slices;
}
