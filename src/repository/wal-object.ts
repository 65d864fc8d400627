/**
 * WAL as the repository keeps it: one object per finished segment, `.partial` file, piece of an open segment, timeline
 * history or backup history file. The annex of segments, partial files and pieces holds what was found out about the
 * WAL when it arrived (`postgres/wal/segment-facts.ts`), so that ranges and times are known without reading the WAL.
 */
import { WalnutError, hasCode } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { decodeObjectHeader, type ObjectHeader } from './object-header.ts';
import {
  annexEnd,
  openAnnex,
  openObject,
  openSecondAnnex,
  putAsSealed,
  sealObject,
  sealObjectWithPauses,
  type NewSealedObject,
} from './sealed-object.ts';

/** Largest WAL object read back: a segment of 1 GB that did not compress, with its annex. */
const WAL_OBJECT_BYTES_MAX: number = 1024 * 1024 * 1024 + 64 * 1024 * 1024;
/** One read fetches header and annex of all but the busiest segments. */
const ANNEX_READ_BYTES: number = 64 * 1024;

export type WalObjectKind =
  | 'wal-segment'
  | 'wal-partial'
  | 'wal-piece'
  | 'timeline-history'
  | 'backup-history';

export type NewWalObject = {
  readonly key: string;
  readonly kind: WalObjectKind;
  readonly plain: Uint8Array;
  /** Encoded segment facts; left out for history files. */
  readonly facts?: Uint8Array;
  /** Encoded changes of a finished segment (`postgres/wal/change-span.ts`). */
  readonly changes?: Uint8Array | undefined;
  readonly level: number;
  /** Memory for the stored form, the caller's again when it is stored. */
  readonly into?: Uint8Array | undefined;
};

/**
 * Stores WAL durably. `present` when the same content was stored before; other content under the same key is an alarm:
 * `wal-conflict`, and what is stored stays as it is.
 */
export async function storeWalObject(
  store: ObjectStore,
  object: NewWalObject,
): Promise<'stored' | 'present'> {
  const { key, plain } = object;
  return putSealedWal(store, { key, plain, stored: sealObject(toSealedObject(object)) });
}

/** What {@link storeWalObject} stores, ready to be stored. */
export type SealedWalObject = {
  readonly key: string;
  readonly plain: Uint8Array;
  readonly stored: Uint8Array;
};

/** The first half of {@link storeWalObject}, with pauses in which the thread can do what else waits. */
export async function sealWalObject(
  object: NewWalObject,
  pause: () => Promise<void>,
): Promise<SealedWalObject> {
  const { key, plain } = object;
  return { key, plain, stored: await sealObjectWithPauses(toSealedObject(object), pause) };
}

/** The second half of {@link storeWalObject}. */
export async function putSealedWal(
  store: ObjectStore,
  { key, plain, stored }: SealedWalObject,
): Promise<'stored' | 'present'> {
  try {
    return await putAsSealed(store, key, { plain, stored });
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
    throw new WalnutError(
      'wal-conflict',
      `store ${key}: it is stored already, with other content`,
      {
        hint:
          'Two servers seem to write one WAL history: a restored copy that archives under the same name, or two promoted ' +
          'standbys. Stop the one that is wrong; nothing was overwritten.',
        cause: error,
        details: { key },
      },
    );
  }
}

function toSealedObject({
  kind,
  plain,
  level,
  into,
  facts,
  changes,
}: NewWalObject): NewSealedObject {
  return {
    kind,
    plain,
    level,
    into,
    ...(facts === undefined ? {} : { annex: facts }),
    ...(changes === undefined ? {} : { secondAnnex: changes }),
  };
}

/** The whole plain content, hash checked. Throws `object-missing` or `object-damaged`. */
export async function readWalObject(
  store: ObjectStore,
  key: string,
  kind: WalObjectKind,
): Promise<Buffer> {
  const stored = await store.get(key, WAL_OBJECT_BYTES_MAX);
  return openObject(stored, kind, key).plain;
}

export type WalObjectHead = {
  readonly header: ObjectHeader;
  /** Encoded segment facts; empty for history files. */
  readonly facts: Buffer;
};

/** Header and facts, without reading the WAL itself. */
export async function readWalObjectHead(store: ObjectStore, key: string): Promise<WalObjectHead> {
  const first = await readFirst(store, key, ANNEX_READ_BYTES);
  const header = decodeObjectHeader(first, key);
  const end = annexEnd(first, header, key);
  const isAll = end <= first.length || first.length < ANNEX_READ_BYTES;
  const head = isAll ? first : await readFirst(store, key, end);
  return { header, facts: openAnnex(head, header, key) };
}

/** Encoded changes of a segment, without reading the WAL itself; empty when none are stored with it. */
export async function readWalObjectChanges(store: ObjectStore, key: string): Promise<Buffer> {
  const first = await readFirst(store, key, ANNEX_READ_BYTES);
  const header = decodeObjectHeader(first, key);
  const isAll = header.payloadOffset <= first.length || first.length < ANNEX_READ_BYTES;
  const head = isAll ? first : await readFirst(store, key, header.payloadOffset);
  return openSecondAnnex(head, header, key);
}

async function readFirst(store: ObjectStore, key: string, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, await store.read(key, 0, bytes));
}
