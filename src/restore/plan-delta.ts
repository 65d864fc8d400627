import { keptWalFolders } from '../postgres/cluster/excluded-paths.ts';
import { toMajorVersion } from '../postgres/version.ts';
import type { MapEntry } from '../repository/map-chunk.ts';
import type { DeltaTarget } from './delta-target.ts';
import { locate, rootOf, rootFolders, type Locations } from './locations.ts';
import type { MapReader } from './map-reader.ts';
import { leadsTo } from './owned-files.ts';
import { isLeftOut } from './placed-entries.ts';
import { presentFiles, type PresentEntry } from './present-files.ts';
import { Removals } from './removals.ts';
import { REQUIRED_FOLDERS } from './required-folders.ts';
import {
  isUnstoredWal,
  UNSTORED_WAL_PREFIX,
  type StoredWal,
  type UnstoredWal,
} from './unstored-wal.ts';

/** What a `--delta` finds in its target and does with it. */
export type PlannedDelta = {
  readonly target: DeltaTarget;
  /** Files that stand already, and how many of their bytes are compared. */
  readonly comparedFiles: number;
  readonly comparedBytes: number;
  /** Everything that is deleted: what does not belong to the backup, and what stands in the way of what does. */
  readonly removals: Removals;
  /** WAL that nobody else has, which is not deleted. */
  readonly unstoredWal: UnstoredWal;
  /** What the folders need beyond what they hold now; what is deleted first counts against it. Negative: they shrink. */
  readonly growthByRoot: ReadonlyMap<string, number>;
  /** Symbolic links of the backup's that stand already, and stay. */
  readonly keptLinks: ReadonlySet<string>;
};

export type DeltaSources = {
  readonly map: MapReader;
  readonly locations: Locations;
  /** What the backup's other symbolic links shall point to. */
  readonly links: ReadonlyMap<string, string>;
  readonly storedWal: StoredWal;
  readonly now: Date;
};

/** Compares what stands in the target with the backup's map, by names, kinds and sizes; content is compared later. */
export async function planDelta(sources: DeltaSources, target: DeltaTarget): Promise<PlannedDelta> {
  const { map, locations } = sources;
  const { manifest } = map;
  const comparison = new Comparison(sources);
  const major = toMajorVersion(manifest.majorVersion);
  const present = presentFiles({ locations, major });
  let here = await nextInOrder(present, comparison);
  for await (const entry of map.entries()) {
    const path = Buffer.from(entry.path, 'utf8');
    while (here !== null && here.order.compare(path) < 0) {
      await comparison.addSuperfluous(here.entry);
      here = await nextInOrder(present, comparison);
    }
    if (here !== null && here.order.equals(path)) {
      await comparison.addPair(entry, here.entry);
      here = await nextInOrder(present, comparison);
    } else {
      comparison.addMissing(entry);
    }
  }
  while (here !== null) {
    await comparison.addSuperfluous(here.entry);
    here = await nextInOrder(present, comparison);
  }
  return { target, ...comparison.finish() };
}

type InOrder = { readonly entry: PresentEntry; readonly order: Buffer };

async function nextInOrder(
  present: AsyncGenerator<PresentEntry>,
  comparison: Comparison,
): Promise<InOrder | null> {
  for (;;) {
    const next = await present.next();
    if (next.done === true) return null;
    if (!next.value.isObsolete) {
      return { entry: next.value, order: Buffer.from(next.value.path, 'utf8') };
    }
    await comparison.addInTheWay(next.value);
  }
}

class Comparison {
  readonly #sources: DeltaSources;
  readonly #removals = new Removals();
  readonly #growth: Map<string, number>;
  readonly #keptLinks = new Set<string>();
  /** Folders of the target that may have to go, and those of the backup. */
  readonly #superfluous: PresentEntry[] = [];
  readonly #needed: Set<string>;
  readonly #unstoredWal: string[] = [];
  #comparedFiles = 0;
  #comparedBytes = 0;

  constructor(sources: DeltaSources) {
    this.#sources = sources;
    this.#growth = new Map(rootFolders(sources.locations).map((root) => [root, 0]));
    const major = toMajorVersion(sources.map.manifest.majorVersion);
    this.#needed = new Set([...REQUIRED_FOLDERS, ...keptWalFolders(major)]);
  }

  addMissing(entry: MapEntry): void {
    this.#need(entry);
    if (entry.kind === 'relation' || entry.kind === 'file') this.#grow(entry, entry.sizeBytes);
  }

  async addSuperfluous(present: PresentEntry): Promise<void> {
    if (present.kind === 'folder') this.#superfluous.push(present);
    else await this.#remove(present);
  }

  /** What has to go even where the backup has something of that name. */
  async addInTheWay(present: PresentEntry): Promise<void> {
    if (present.kind === 'folder') this.#superfluous.push({ ...present, isObsolete: true });
    else await this.#remove(present);
  }

  async addPair(entry: MapEntry, present: PresentEntry): Promise<void> {
    if (await this.#fits(entry, present)) {
      this.#need(entry);
      if (entry.kind === 'link') this.#keptLinks.add(entry.path);
      if (entry.kind !== 'relation' && entry.kind !== 'file') return;
      const bytes = Math.min(present.sizeBytes, entry.sizeBytes);
      this.#comparedFiles += 1;
      this.#comparedBytes += bytes;
      this.#grow(entry, entry.sizeBytes - Math.min(bytes, present.allocatedBytes));
    } else {
      await this.addInTheWay(present);
      this.addMissing(entry);
    }
  }

  finish(): Omit<PlannedDelta, 'target'> {
    for (const folder of this.#superfluous) {
      if (folder.isObsolete || !this.#needed.has(folder.path)) this.#removals.add(folder);
    }
    return {
      comparedFiles: this.#comparedFiles,
      comparedBytes: this.#comparedBytes,
      removals: this.#removals,
      unstoredWal: { folder: this.#unstoredWalFolder(), places: this.#unstoredWal },
      growthByRoot: this.#growth,
      keptLinks: this.#keptLinks,
    };
  }

  #unstoredWalFolder(): string {
    const { locations, now } = this.#sources;
    const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
    return locate(locations, `pg_wal/${UNSTORED_WAL_PREFIX}${time}`);
  }

  /**
   * Whether what stands there may become what the backup has. A file with a second name may not: the other name, such as
   * that of a snapshot made by hard links, would see the change.
   */
  async #fits(entry: MapEntry, { kind, linkCount, place }: PresentEntry): Promise<boolean> {
    if (entry.kind === 'directory') return kind === 'folder';
    if (entry.kind === 'link') {
      const wanted = this.#sources.links.get(entry.path);
      return kind === 'link' && (wanted === undefined || (await leadsTo(place, wanted)));
    }
    return kind === 'file' && linkCount === 1 && !isLeftOut(entry.path);
  }

  /** Folders above an entry are needed whether or not the map names them. */
  #need({ path, kind }: MapEntry): void {
    let folder = kind === 'directory' ? path : parentOf(path);
    while (folder !== '' && !this.#needed.has(folder)) {
      this.#needed.add(folder);
      folder = parentOf(folder);
    }
  }

  async #remove(present: PresentEntry): Promise<void> {
    const { path, place, kind, sizeBytes, allocatedBytes, linkCount } = present;
    const isWal = kind === 'file' && parentOf(path) === 'pg_wal';
    if (isWal && (await isUnstoredWal(place, this.#sources.storedWal))) {
      this.#unstoredWal.push(place);
      return;
    }
    this.#removals.add({ place, kind, sizeBytes });
    if (linkCount === 1) this.#growAt(place, -Math.min(allocatedBytes, sizeBytes));
  }

  #grow({ path }: MapEntry, bytes: number): void {
    this.#growAt(locate(this.#sources.locations, path), bytes);
  }

  #growAt(place: string, bytes: number): void {
    const root = rootOf(this.#growth.keys(), place, this.#sources.locations.dataDirectory);
    this.#growth.set(root, (this.#growth.get(root) ?? 0) + bytes);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}
