/**
 * A chunk of a backup's map: files in byte order of their paths and, for each, where its content lies
 * (docs/repository-format.md, "Map chunk").
 *
 * Plain form: varint version (1); varint pack count, each pack's key (varint length, UTF-8); varint file count; per
 * file: path (shared prefix, suffix), u8 kind, varint mode, varint size in bytes, varint mtime in ms; for relations and files u8 length
 * of the identity, 0 or 16, and the identity; then
 * - relation: varint extent count; extent = varint block gap since the end of the extent before, varint pages, varint pack,
 *   varint frame, varint position in the frame in pages;
 * - file: 32 bytes BLAKE3 of the whole content; varint extent count; extent = varint bytes, varint pack, varint frame,
 *   varint byte offset in the frame's plain content; extents follow each other without gaps;
 * - directory: nothing; symbolic link: varint length and the target.
 * Blocks of a relation that no extent covers are zero pages.
 */
import { BLAKE3_BYTES } from '../lib/hashing.ts';
import { ByteReader } from '../lib/byte-reader.ts';
import { ByteWriter } from '../lib/byte-writer.ts';
import { damaged } from './object-header.ts';
import { PathReader, PathWriter } from './path-coding.ts';

export type PageExtent = {
  readonly firstBlock: number;
  readonly pages: number;
  /** Key of the pack. */
  readonly pack: string;
  readonly frame: number;
  /** Position of the first page in the frame, in pages. */
  readonly position: number;
};

export type ByteExtent = {
  readonly bytes: number;
  readonly pack: string;
  readonly frame: number;
  /** Byte offset in the frame's plain content. */
  readonly position: number;
};

type EntryFacts = {
  /** Relative to the data directory, tablespaces under `pg_tblspc/<oid>/`. */
  readonly path: string;
  /** Permission bits, such as 0o600. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
};

/**
 * Tells a file from every other and from itself at another time, without reading it: made of host, data directory, device,
 * inode, size and times. Null when it was changed too shortly before, or where the source cannot tell.
 */
export type FileIdentity = Uint8Array | null;

export const FILE_IDENTITY_BYTES = 16;

export type RelationEntry = EntryFacts & {
  readonly kind: 'relation';
  readonly identity: FileIdentity;
  readonly extents: readonly PageExtent[];
};

export type FileEntry = EntryFacts & {
  readonly kind: 'file';
  readonly identity: FileIdentity;
  /** BLAKE3 of the content. */
  readonly hash: Uint8Array;
  readonly extents: readonly ByteExtent[];
};

type DirectoryEntry = EntryFacts & { readonly kind: 'directory' };

export type LinkEntry = EntryFacts & { readonly kind: 'link'; readonly target: string };

export type MapEntry = RelationEntry | FileEntry | DirectoryEntry | LinkEntry;

const CHUNK_VERSION = 1;
const KINDS = ['relation', 'file', 'directory', 'link'] as const;

/** Encodes the entries of one chunk as they come, so that none of them has to be kept, and then those of the next. */
export class MapChunkEncoder {
  readonly #body = new ByteWriter(256 * 1024);
  readonly #packs = new Map<string, number>();
  #paths = new PathWriter();
  #entries = 0;
  #extents = 0;
  #firstPath: string | null = null;
  #lastPath: string | null = null;

  get entries(): number {
    return this.#entries;
  }

  get extents(): number {
    return this.#extents;
  }

  /** Null without entries. */
  get firstPath(): string | null {
    return this.#firstPath;
  }

  get lastPath(): string | null {
    return this.#lastPath;
  }

  add(entry: MapEntry): void {
    writeEntry(this.#body, { entry, paths: this.#paths, packNumber: this.#packNumber });
    this.#entries += 1;
    if (entry.kind === 'relation' || entry.kind === 'file') this.#extents += entry.extents.length;
    this.#firstPath ??= entry.path;
    this.#lastPath = entry.path;
  }

  /** The chunk of what was added since the last {@link clear}. */
  encode(): Buffer {
    const lead = new ByteWriter().varint(CHUNK_VERSION).varint(this.#packs.size);
    for (const key of this.#packs.keys()) writeText(lead, key);
    lead.varint(this.#entries);
    return Buffer.concat([lead.view(), this.#body.view()]);
  }

  clear(): void {
    this.#body.clear();
    this.#packs.clear();
    this.#paths = new PathWriter();
    this.#entries = 0;
    this.#extents = 0;
    this.#firstPath = null;
    this.#lastPath = null;
  }

  readonly #packNumber = (key: string): number => {
    const known = this.#packs.get(key);
    if (known !== undefined) return known;
    this.#packs.set(key, this.#packs.size);
    return this.#packs.size - 1;
  };
}

/** Reverses {@link MapChunkEncoder}; throws `object-damaged` naming `key`. */
export function decodeMapChunk(plain: Uint8Array, key: string): MapEntry[] {
  try {
    const reader = new ByteReader(plain);
    if (reader.varint() !== CHUNK_VERSION) throw new RangeError('unknown chunk version');
    const packs = Array.from({ length: reader.varint() }, () => readText(reader));
    const paths = new PathReader();
    const entries: MapEntry[] = [];
    for (let left = reader.varint(); left > 0; left -= 1) {
      entries.push(readEntry(reader, paths, packs));
    }
    if (reader.remaining !== 0) throw new RangeError('bytes after the last entry');
    return entries;
  } catch (error) {
    throw damaged(key, 'its content is no map chunk', error);
  }
}

type EntryWriting = {
  readonly entry: MapEntry;
  readonly paths: PathWriter;
  readonly packNumber: (key: string) => number;
};

function writeEntry(into: ByteWriter, { entry, paths, packNumber }: EntryWriting): void {
  paths.write(into, entry.path);
  into.u8(KINDS.indexOf(entry.kind)).varint(entry.mode).varint(entry.sizeBytes);
  into.varint(Math.max(0, Math.floor(entry.modifiedMs)));
  if (entry.kind === 'relation' || entry.kind === 'file') {
    into.u8(entry.identity?.length ?? 0).put(entry.identity ?? new Uint8Array(0));
  }
  if (entry.kind === 'relation') {
    into.varint(entry.extents.length);
    let end = 0;
    for (const extent of entry.extents) {
      into.varint(extent.firstBlock - end).varint(extent.pages);
      into.varint(packNumber(extent.pack)).varint(extent.frame).varint(extent.position);
      end = extent.firstBlock + extent.pages;
    }
  } else if (entry.kind === 'file') {
    into.put(entry.hash).varint(entry.extents.length);
    for (const extent of entry.extents) {
      into.varint(extent.bytes).varint(packNumber(extent.pack));
      into.varint(extent.frame).varint(extent.position);
    }
  } else if (entry.kind === 'link') {
    writeText(into, entry.target);
  }
}

function readEntry(reader: ByteReader, paths: PathReader, packs: readonly string[]): MapEntry {
  const path = paths.read(reader);
  const kind = KINDS[reader.u8()];
  const facts = {
    path,
    mode: reader.varint(),
    sizeBytes: reader.varint(),
    modifiedMs: reader.varint(),
  };
  switch (kind) {
    case 'relation':
      return {
        ...facts,
        kind,
        identity: readIdentity(reader),
        extents: readPageExtents(reader, packs),
      };
    case 'file':
      return {
        ...facts,
        kind,
        identity: readIdentity(reader),
        hash: Uint8Array.from(reader.take(BLAKE3_BYTES)),
        extents: readByteExtents(reader, packs),
      };
    case 'directory':
      return { ...facts, kind };
    case 'link':
      return { ...facts, kind, target: readText(reader) };
    case undefined:
    default:
      throw new RangeError('unknown kind of entry');
  }
}

function readIdentity(reader: ByteReader): FileIdentity {
  const length = reader.u8();
  if (length === 0) return null;
  if (length !== FILE_IDENTITY_BYTES) throw new RangeError('identity of another length');
  return Uint8Array.from(reader.take(length));
}

function readPageExtents(reader: ByteReader, packs: readonly string[]): PageExtent[] {
  const extents: PageExtent[] = [];
  let end = 0;
  for (let left = reader.varint(); left > 0; left -= 1) {
    const firstBlock = end + reader.varint();
    const pages = reader.varint();
    const pack = packAt(packs, reader.varint());
    extents.push({ firstBlock, pages, pack, frame: reader.varint(), position: reader.varint() });
    end = firstBlock + pages;
  }
  return extents;
}

function readByteExtents(reader: ByteReader, packs: readonly string[]): ByteExtent[] {
  const extents: ByteExtent[] = [];
  for (let left = reader.varint(); left > 0; left -= 1) {
    const bytes = reader.varint();
    const pack = packAt(packs, reader.varint());
    extents.push({ bytes, pack, frame: reader.varint(), position: reader.varint() });
  }
  return extents;
}

function packAt(packs: readonly string[], number: number): string {
  const pack = packs[number];
  if (pack === undefined) throw new RangeError('pack number out of range');
  return pack;
}

function writeText(into: ByteWriter, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  into.varint(bytes.length).put(bytes);
}

function readText(reader: ByteReader): string {
  return Buffer.from(reader.take(reader.varint())).toString('utf8');
}
