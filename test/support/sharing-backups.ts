/** A series of backups of a random small cluster that changes: each stores what changed and shares the rest. */
import { blake3 } from '../../src/lib/hashing.ts';
import { xxh64 } from '../../src/postgres/cluster/page-hash.ts';
import { backupIdOf, newBackupStamp, type BackupId } from '../../src/repository/backup-id.ts';
import { BackupMapWriter, readBackupMap } from '../../src/repository/backup-map.ts';
import { PAGE_BYTES } from '../../src/repository/frame.ts';
import { backupKeys } from '../../src/repository/layout.ts';
import { loadManifest, storeManifest, type Manifest } from '../../src/repository/manifest.ts';
import type { MapEntry, PageExtent } from '../../src/repository/map-chunk.ts';
import type { FrameRun } from '../../src/repository/pack-index.ts';
import { frameSpan, openIndexedFrame, readPackIndex } from '../../src/repository/pack-reader.ts';
import { PackWriter } from '../../src/repository/pack-writer.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { randomBelow, type Random } from './random.ts';
import { exampleManifest } from './stored-backup.ts';

type Place = { readonly pack: string; readonly frame: number; readonly position: number };
type Page = { readonly content: Buffer; place: Place | null };
type SmallFile = { readonly content: Buffer; place: Place | null };

/** What a backup holds, by path. */
export type Contents = ReadonlyMap<string, Buffer>;

export const SHARING_SERVER = 'shop';
const RELATIONS = 4;
const PAGES_MAX = 40;
const BUNDLE_BYTES: number = 32 * PAGE_BYTES;

export async function storeSharingBackups(
  store: ObjectStore,
  random: Random,
  count: number,
): Promise<Map<BackupId, Contents>> {
  const relations = new Map<string, Page[]>();
  const files = new Map<string, SmallFile>();
  const contents = new Map<BackupId, Contents>();
  const ids: BackupId[] = [];
  for (let number = 0; number < count; number += 1) {
    change(relations, files, random);
    const type = number === 0 ? 'full' : 'incremental';
    const now = new Date(Date.parse('2026-11-22T19:15:00Z') + number * 3_600_000);
    const id = backupIdOf(newBackupStamp(now, ids), type);
    await storeOne(store, { id, type, relations, files });
    ids.push(id);
    contents.set(id, snapshot(relations, files));
  }
  return contents;
}

function change(
  relations: Map<string, Page[]>,
  files: Map<string, SmallFile>,
  random: Random,
): void {
  for (let number = 0; number < RELATIONS; number += 1) {
    const path = `base/5/${1000 + number}`;
    const length =
      random() < 0.7 ? (relations.get(path)?.length ?? 0) : randomBelow(random, PAGES_MAX);
    const pages = (relations.get(path) ?? []).slice(0, length);
    const share = random() < 0.3 ? 0 : random() * 0.5;
    relations.set(
      path,
      Array.from({ length }, (_, block) => {
        const old = pages[block];
        return old !== undefined && random() > share ? old : newPage(random);
      }),
    );
    const file = `global/${number}`;
    if (random() < 0.5 || !files.has(file)) {
      files.set(file, { content: noise(random, 1 + randomBelow(random, 3000)), place: null });
    }
  }
}

function newPage(random: Random): Page {
  return { content: noise(random, PAGE_BYTES), place: null };
}

function noise(random: Random, length: number): Buffer {
  const content = Buffer.alloc(length, randomBelow(random, 256));
  for (let at = 0; at < length; at += 16) content[at] = randomBelow(random, 256);
  return content;
}

type NewBackup = {
  readonly id: BackupId;
  readonly type: 'full' | 'incremental';
  readonly relations: ReadonlyMap<string, Page[]>;
  readonly files: ReadonlyMap<string, SmallFile>;
};

async function storeOne(store: ObjectStore, backup: NewBackup): Promise<void> {
  const { id, type, relations, files } = backup;
  const pack = await PackWriter.begin(store, backupKeys.pack(SHARING_SERVER, id, 1), 1);
  let pages: { readonly path: string; readonly block: number; readonly page: Page }[] = [];
  const flush = async (small: readonly (readonly [string, SmallFile])[]): Promise<void> => {
    await storeFrame(pack, pages, small);
    pages = [];
  };
  for (const [path, all] of relations) {
    for (const [block, page] of all.entries()) {
      if (page.place === null) pages.push({ path, block, page });
      if (pages.length * PAGE_BYTES >= BUNDLE_BYTES) await flush([]);
    }
  }
  await flush([...files].filter(([, { place }]) => place === null));
  await pack.finish();
  const entries = entriesOf(relations, files);
  const map = new BackupMapWriter(store, { server: SHARING_SERVER, id });
  for (const entry of entries) await map.add(entry);
  const chunks = [...(await map.finish())];
  const packs = await describePacks(store, entries);
  await storeManifest(store, exampleManifest({ id, type, chunks, packs }), 1);
}

async function storeFrame(
  pack: PackWriter,
  pages: readonly { readonly path: string; readonly block: number; readonly page: Page }[],
  small: readonly (readonly [string, SmallFile])[],
): Promise<void> {
  if (pages.length + small.length === 0) return;
  const runs: FrameRun[] = [];
  for (const { path, block } of pages) {
    const last = runs.at(-1);
    const continues = last?.path === path && last.from + last.length === block;
    if (continues) runs[runs.length - 1] = { ...last, length: last.length + 1 };
    else runs.push({ kind: 'pages', path, from: block, length: 1 });
  }
  for (const [path, { content }] of small) {
    runs.push({ kind: 'bytes', path, from: 0, length: content.length });
  }
  const frame = await pack.add({
    plain: Buffer.concat([
      ...pages.map(({ page }) => page.content),
      ...small.map(([, { content }]) => content),
    ]),
    pageCount: pages.length,
    runs,
    pageHashes: Buffer.concat(pages.map(({ page }) => hashOf(page.content))),
  });
  for (const [position, { page }] of pages.entries())
    page.place = { pack: pack.key, frame, position };
  let position = pages.length * PAGE_BYTES;
  for (const [, file] of small) {
    file.place = { pack: pack.key, frame, position };
    position += file.content.length;
  }
}

function hashOf(page: Buffer): Buffer {
  const hash = Buffer.alloc(8);
  hash.writeBigUInt64LE(xxh64(page));
  return hash;
}

function entriesOf(
  relations: ReadonlyMap<string, Page[]>,
  files: ReadonlyMap<string, SmallFile>,
): MapEntry[] {
  const entries: MapEntry[] = [];
  const facts = { mode: 0o600, modifiedMs: 0, identity: null };
  for (const [path, pages] of relations) {
    const sizeBytes = pages.length * PAGE_BYTES;
    entries.push({ ...facts, kind: 'relation', path, sizeBytes, extents: extentsOf(pages) });
  }
  for (const [path, { content, place }] of files) {
    if (place === null) throw new Error(`${path} is stored`);
    const extents = [{ ...place, bytes: content.length }];
    const sizeBytes = content.length;
    entries.push({ ...facts, kind: 'file', path, sizeBytes, hash: blake3(content), extents });
  }
  return entries.toSorted((one, other) => (one.path < other.path ? -1 : 1));
}

function extentsOf(pages: readonly Page[]): PageExtent[] {
  const extents: PageExtent[] = [];
  for (const [block, { place }] of pages.entries()) {
    if (place === null) throw new Error('a page is stored');
    const last = extents.at(-1);
    const continues =
      last?.pack === place.pack &&
      last.frame === place.frame &&
      last.position + last.pages === place.position;
    if (continues) extents[extents.length - 1] = { ...last, pages: last.pages + 1 };
    else extents.push({ ...place, firstBlock: block, pages: 1 });
  }
  return extents;
}

async function describePacks(
  store: ObjectStore,
  entries: readonly MapEntry[],
): Promise<Manifest['packs']> {
  const live = new Map<string, number>();
  for (const entry of entries) {
    if (entry.kind === 'relation') {
      for (const { pack, pages } of entry.extents) {
        live.set(pack, (live.get(pack) ?? 0) + pages * PAGE_BYTES);
      }
    } else if (entry.kind === 'file') {
      for (const { pack, bytes } of entry.extents) live.set(pack, (live.get(pack) ?? 0) + bytes);
    }
  }
  return Promise.all(
    [...live].map(async ([key, livePlainBytes]) => {
      const { sizeBytes, frames } = await readPackIndex(store, key);
      const plainBytes = frames.reduce((sum, frame) => sum + frame.plainBytes, 0);
      return { key, storedBytes: sizeBytes, plainBytes, livePlainBytes };
    }),
  );
}

function snapshot(
  relations: ReadonlyMap<string, Page[]>,
  files: ReadonlyMap<string, SmallFile>,
): Contents {
  const all = new Map<string, Buffer>();
  for (const [path, pages] of relations) {
    all.set(path, Buffer.concat(pages.map(({ content }) => content)));
  }
  for (const [path, { content }] of files) all.set(path, content);
  return all;
}

/** Reads a backup back, every frame checked; null when there is no such backup. */
export async function readContents(store: ObjectStore, id: BackupId): Promise<Contents | null> {
  const stored = await loadManifest(store, SHARING_SERVER, id);
  if (stored === null) return null;
  const named = new Set(stored.manifest.packs.map(({ key }) => key));
  const contents = new Map<string, Buffer>();
  const packs = new Map<string, Uint8Array[]>();
  for await (const entry of readBackupMap(store, stored.manifest)) {
    if (entry.kind !== 'relation' && entry.kind !== 'file') continue;
    const parts: Buffer[] = [];
    for (const extent of entry.extents) {
      if (!named.has(extent.pack)) throw new Error(`the manifest names ${extent.pack}`);
      const frames = packs.get(extent.pack) ?? (await readFrames(store, extent.pack));
      packs.set(extent.pack, frames);
      const plain = frames[extent.frame] ?? Buffer.alloc(0);
      const unit = 'pages' in extent ? PAGE_BYTES : 1;
      const length = 'pages' in extent ? extent.pages : extent.bytes;
      const begin = extent.position * unit;
      parts.push(Buffer.from(plain.subarray(begin, begin + length * unit)));
    }
    contents.set(entry.path, Buffer.concat(parts));
  }
  return contents;
}

async function readFrames(store: ObjectStore, key: string): Promise<Uint8Array[]> {
  const plains: Uint8Array[] = [];
  for (const frame of (await readPackIndex(store, key)).frames) {
    const stored = Buffer.alloc(frameSpan(frame));
    await store.read(key, frame.offset, stored);
    plains.push(Buffer.from(openIndexedFrame(stored, frame.offset, { key, frame })));
  }
  return plains;
}
