/**
 * A program of its own that tells how much memory the maps of a huge cluster take: writes one, merges it with changes
 * as an incremental backup does, and reads the result. Arguments: an empty folder, files, extents of each file. Prints
 * one line of JSON.
 */
import { openStore } from '../../src/storage/open-store.ts';
import { planTasks } from '../../src/backup/copy-tasks.ts';
import type { CopyItem, ItemResult } from '../../src/backup/copy-messages.ts';
import { EarlierFiles } from '../../src/backup/earlier-files.ts';
import type { ListedFile } from '../../src/backup/list-files.ts';
import { MapAssembler } from '../../src/backup/map-assembler.ts';
import type { PageChanges } from '../../src/backup/page-changes.ts';
import type { BackupId } from '../../src/repository/backup-id.ts';
import { BackupMapWriter, readBackupMap } from '../../src/repository/backup-map.ts';
import { backupKeys } from '../../src/repository/layout.ts';
import type { PageExtent } from '../../src/repository/map-chunk.ts';
import type { Manifest } from '../../src/repository/manifest.ts';
import { exampleManifest } from './stored-backup.ts';

export type MapStory = {
  readonly peakRssBytes: number;
  readonly files: number;
  readonly extents: number;
  /** Of the merged map. */
  readonly chunks: number;
  /** Of these, chunks of the first map that were named again. */
  readonly sharedChunks: number;
};

const PAGE_BYTES = 8192;
const SERVER = 'shop';
const FULL = '20261122T191500Z-F' as BackupId;
const INCREMENTAL = '20261123T191500Z-I' as BackupId;
/** Numbers of one length, so that their order is that of the paths' bytes. */
const FIRST_FILE = 10_000_000;
const PACK_FRAMES = 4096;
/** One file in so many changed, in one block of so many: the changed ones stand together, so chunks stay shared. */
const CHANGED_FILES = 10;
const CHANGED_BLOCKS = 64;

const [folder = '', files = '', extentsPerFile = ''] = process.argv.slice(2);
const shape = { files: Number(files), extentsPerFile: Number(extentsPerFile) };
const CHANGES: PageChanges = {
  limitBlock: () => null,
  changedBlocks({ relfilenode }, begin, end) {
    const isChanged = relfilenode - FIRST_FILE < shape.files / CHANGED_FILES;
    const count = isChanged ? Math.ceil((end - begin) / CHANGED_BLOCKS) : 0;
    return Uint32Array.from({ length: count }, (_, at) => begin + at * CHANGED_BLOCKS);
  },
  isRewritten: () => false,
};

const store = await openStore({ kind: 'filesystem', path: folder });
const first = await writeFirst();
const second = await mergeSecond(first);
process.stdout.write(`${JSON.stringify(await tell(first, second))}\n`);

async function* listing(): AsyncGenerator<ListedFile> {
  for (let number = 0; number < shape.files; number += 1) {
    yield {
      path: `base/16384/${FIRST_FILE + number}`,
      kind: 'relation',
      sizeBytes: shape.extentsPerFile * 2 * PAGE_BYTES,
      mode: 0o600,
      modifiedMs: 1_700_000_000_000,
      target: null,
      identity: null,
    };
  }
}

/** Every other block: nothing that could be told in one piece. */
function scattered(number: number): PageExtent[] {
  return Array.from({ length: shape.extentsPerFile }, (_, at) => ({
    firstBlock: at * 2,
    pages: 1,
    ...frameOf(FULL, number * shape.extentsPerFile + at),
  }));
}

function frameOf(id: BackupId, count: number): Pick<PageExtent, 'pack' | 'frame' | 'position'> {
  const pack = backupKeys.pack(SERVER, id, 1 + Math.floor(count / 32 / PACK_FRAMES));
  return { pack, frame: Math.floor(count / 32) % PACK_FRAMES, position: count % 32 };
}

async function writeFirst(): Promise<Manifest> {
  const map = new BackupMapWriter(store, { server: SERVER, id: FULL });
  let number = 0;
  for await (const { path, sizeBytes, mode, modifiedMs } of listing()) {
    const facts = { path, sizeBytes, mode, modifiedMs, identity: null };
    await map.add({ ...facts, kind: 'relation', extents: scattered(number) });
    number += 1;
  }
  return exampleManifest({ id: FULL, server: SERVER, chunks: [...(await map.finish())] });
}

/** What an incremental backup does between its listing and its manifest, but for the copying. */
async function mergeSecond(parent: Manifest): Promise<Manifest> {
  const map = new BackupMapWriter(store, { server: SERVER, id: INCREMENTAL }, parent.chunks);
  const assembler = new MapAssembler(map, { sorted: true }, backupKeys.folder(SERVER, INCREMENTAL));
  const earlier = await EarlierFiles.open({ store, parent, attempts: [], warn: () => {} });
  const rules = { changes: CHANGES, paranoid: false, damage: new Map() };
  let copied = 0;
  for await (const { task, outcomes } of planTasks(listing(), earlier, rules)) {
    const results = task.items.map((item) => resultOf(item, (copied += 1)));
    await assembler.addTask(outcomes, results);
  }
  const chunks = [...(await assembler.finish())];
  return exampleManifest({ id: INCREMENTAL, server: SERVER, parent: parent.id, chunks });
}

function resultOf(item: CopyItem, copied: number): ItemResult {
  const { path, sizeBytes, mode, modifiedMs, runs } = item;
  const extents = (runs ?? []).map(({ first: firstBlock, count }) => ({
    firstBlock,
    pages: count,
    ...frameOf(INCREMENTAL, copied),
  }));
  const entry = { path, sizeBytes, mode, modifiedMs, identity: null, kind: 'relation' as const };
  return { path, entry: { ...entry, extents }, readBytes: 0, cutAt: null };
}

async function tell(parent: Manifest, merged: Manifest): Promise<MapStory> {
  let [found, extents] = [0, 0];
  for await (const entry of readBackupMap(store, merged)) {
    found += 1;
    if (entry.kind === 'relation') extents += entry.extents.length;
  }
  const keys = new Set(parent.chunks.map(({ key }) => key));
  return {
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    files: found,
    extents,
    chunks: merged.chunks.length,
    sharedChunks: merged.chunks.filter(({ key }) => keys.has(key)).length,
  };
}
