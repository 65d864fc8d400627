/**
 * WAL as the repository keeps it: one object per finished segment, `.partial` file, piece of an open segment, timeline
 * history or backup history file. The annex of segments, partial files and pieces holds what was found out about the
 * WAL when it arrived (`postgres/wal/segment-facts.ts`), so that ranges and times are known without reading the WAL.
 */
import { WalnutError, hasCode } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { decodeObjectHeader, OBJECT_HEADER_BYTES, type ObjectHeader } from './object-header.ts';
import { openAnnex, openObject, putSealed } from './sealed-object.ts';

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
  readonly level: number;
};

/**
 * Stores WAL durably. `present` when the same content was stored before; other content under the same key is an alarm:
 * `wal-conflict`, and what is stored stays as it is.
 */
export async function storeWalObject(
  store: ObjectStore,
  object: NewWalObject,
): Promise<'stored' | 'present'> {
  try {
    return await putSealed(store, object.key, {
      kind: object.kind,
      plain: object.plain,
      level: object.level,
      ...(object.facts === undefined ? {} : { annex: object.facts }),
    });
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
    throw new WalnutError(
      'wal-conflict',
      `store ${object.key}: it is stored already, with other content`,
      {
        hint:
          'Two servers seem to write one WAL history: a restored copy that archives under the same name, or two promoted ' +
          'standbys. Stop the one that is wrong; nothing was overwritten.',
        cause: error,
        details: { key: object.key },
      },
    );
  }
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
  let head: Buffer = Buffer.alloc(ANNEX_READ_BYTES);
  head = head.subarray(0, await store.read(key, 0, head));
  const header = decodeObjectHeader(head, key);
  if (header.payloadOffset > head.length && head.length === ANNEX_READ_BYTES) {
    head = Buffer.alloc(OBJECT_HEADER_BYTES + header.annexBytes);
    head = head.subarray(0, await store.read(key, 0, head));
  }
  return { header, facts: openAnnex(head, header, key) };
}
