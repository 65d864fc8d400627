/** Rewrites the maps of backups after frames have moved. Chunks that several backups share stay shared. */
import { assert, must } from '../lib/assert.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { BackupMapWriter, readMapChunk, type ChunkReference } from '../repository/backup-map.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { Manifest } from '../repository/manifest.ts';
import type { ByteExtent, MapEntry, PageExtent } from '../repository/map-chunk.ts';
import type { FinishedPack } from '../repository/pack-writer.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Moved, MovedFrames } from './frame-mover.ts';

export type MapRewriting = {
  readonly store: ObjectStore;
  readonly server: string;
  readonly moved: MovedFrames;
  readonly packs: readonly FinishedPack[];
};

type RewrittenChunk = {
  readonly chunks: readonly ChunkReference[];
  /** Plain bytes that it refers to, by new pack. */
  readonly live: ReadonlyMap<string, number>;
};

export class MapRewriter {
  readonly #rewriting: MapRewriting;
  readonly #done = new Map<string, RewrittenChunk>();

  constructor(rewriting: MapRewriting) {
    this.#rewriting = rewriting;
  }

  /** The manifest as its next revision holds it; its new chunks are stored. */
  async rewrite(manifest: Manifest): Promise<Manifest> {
    const { moved, packs } = this.#rewriting;
    const chunks: ChunkReference[] = [];
    const live = new Map<string, number>();
    for (const chunk of manifest.chunks) {
      const rewritten = await this.#chunk(chunk, manifest.id);
      chunks.push(...rewritten.chunks);
      for (const [pack, bytes] of rewritten.live) live.set(pack, (live.get(pack) ?? 0) + bytes);
    }
    const added = packs.flatMap(({ key, storedBytes, plainBytes }) => {
      const livePlainBytes = live.get(key);
      return livePlainBytes === undefined ? [] : [{ key, storedBytes, plainBytes, livePlainBytes }];
    });
    const stayed = manifest.packs.filter(({ key }) => !moved.has(key));
    return { ...manifest, chunks, packs: [...stayed, ...added] };
  }

  async #chunk(chunk: ChunkReference, id: BackupId): Promise<RewrittenChunk> {
    const known = this.#done.get(chunk.key);
    if (known !== undefined) return known;
    const { store, server, moved } = this.#rewriting;
    const live = new Map<string, number>();
    const entries = (await readMapChunk(store, chunk)).map((entry) =>
      moveEntry(entry, moved, live),
    );
    let rewritten: RewrittenChunk = { chunks: [chunk], live };
    if (live.size > 0) {
      const map = new BackupMapWriter(store, { server, id });
      for (const entry of entries) await map.add(entry);
      rewritten = { chunks: await map.finish(), live };
    }
    this.#done.set(chunk.key, rewritten);
    return rewritten;
  }
}

function moveEntry(entry: MapEntry, moved: MovedFrames, live: Map<string, number>): MapEntry {
  if (entry.kind === 'relation') {
    const extents = entry.extents.map((extent): PageExtent => {
      const length = extent.pages * PAGE_BYTES;
      const place = placeOf(moved, { ...extent, begin: extent.position * PAGE_BYTES, length });
      if (place === null) return extent;
      count(live, place.pack, length);
      return { ...extent, ...place, position: place.position / PAGE_BYTES };
    });
    return { ...entry, extents };
  }
  if (entry.kind !== 'file') return entry;
  const extents = entry.extents.map((extent): ByteExtent => {
    const place = placeOf(moved, { ...extent, begin: extent.position, length: extent.bytes });
    if (place === null) return extent;
    count(live, place.pack, extent.bytes);
    return { ...extent, ...place };
  });
  return { ...entry, extents };
}

type OldPlace = {
  readonly pack: string;
  readonly frame: number;
  readonly begin: number;
  readonly length: number;
};

/** Null for what did not move. Positions in bytes. */
function placeOf(
  moved: MovedFrames,
  { pack, frame, begin, length }: OldPlace,
): { pack: string; frame: number; position: number } | null {
  const frames = moved.get(pack);
  if (frames === undefined) return null;
  const holds = (each: Moved): boolean => each.begin <= begin && begin + length <= each.end;
  const found = must(frames.get(frame)?.find(holds), `frame ${frame} of ${pack} has moved whole`);
  assert(found.pack !== pack, 'a frame moves into another pack');
  return { pack: found.pack, frame: found.frame, position: found.at + (begin - found.begin) };
}

function count(live: Map<string, number>, pack: string, bytes: number): void {
  live.set(pack, (live.get(pack) ?? 0) + bytes);
}
