import { WalnutError } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { FRAME_HEADER_BYTES, openFrame } from './frame.ts';
import { damaged, decodeObjectHeader, OBJECT_HEADER_BYTES } from './object-header.ts';
import {
  decodePackFooter,
  decodePackIndex,
  PACK_FOOTER_BYTES,
  type IndexDetail,
  type IndexedFrame,
} from './pack-index.ts';

export type PackIndex = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly frames: readonly IndexedFrame[];
};

/** Reads and checks header, footer and index of a pack: two or three small reads. */
export async function readPackIndex(
  store: ObjectStore,
  key: string,
  detail: IndexDetail = 'with-runs',
): Promise<PackIndex> {
  const info = await store.stat(key);
  if (info === null) throw packMissing(key);
  if (info.sizeBytes < OBJECT_HEADER_BYTES + PACK_FOOTER_BYTES) throw damaged(key, 'it is cut');
  const header = decodeObjectHeader(
    await readExactly(store, key, { offset: 0, length: OBJECT_HEADER_BYTES }),
    key,
  );
  if (header.kind !== 'pack') throw damaged(key, `it is a ${header.kind}, not a pack`);
  const footerAt = info.sizeBytes - PACK_FOOTER_BYTES;
  const footer = decodePackFooter(
    await readExactly(store, key, { offset: footerAt, length: PACK_FOOTER_BYTES }),
    key,
  );
  if (footer.indexOffset + footer.storedBytes !== footerAt) {
    throw damaged(key, 'its index does not end where the footer begins');
  }
  const stored = await readExactly(store, key, {
    offset: footer.indexOffset,
    length: footer.storedBytes,
  });
  return {
    key,
    sizeBytes: info.sizeBytes,
    frames: decodePackIndex(stored, footer, { key, detail }),
  };
}

/** Stored and plain bytes of a pack, from its index. */
export async function measurePack(
  store: ObjectStore,
  key: string,
): Promise<{ readonly storedBytes: number; readonly plainBytes: number }> {
  const { sizeBytes, frames } = await readPackIndex(store, key, 'without-runs');
  return {
    storedBytes: sizeBytes,
    plainBytes: frames.reduce((sum, { plainBytes }) => sum + plainBytes, 0),
  };
}

/** Stored bytes of a frame with its header. */
export function frameSpan({ storedBytes }: Pick<IndexedFrame, 'storedBytes'>): number {
  return FRAME_HEADER_BYTES + storedBytes;
}

/**
 * Opens one frame out of bytes read from the pack.
 * @param bytes holds the pack from byte `bytesOffset` on and covers the whole frame.
 * @param place `into` as in `ExpectedFrame`.
 */
export function openIndexedFrame(
  bytes: Uint8Array,
  bytesOffset: number,
  place: {
    readonly key: string;
    readonly frame: Omit<IndexedFrame, 'runs'>;
    readonly into?: Uint8Array | undefined;
  },
): Uint8Array {
  const from = place.frame.offset - bytesOffset;
  const { key, frame, into } = place;
  const { hash, number } = frame;
  return openFrame(bytes.subarray(from, from + frameSpan(frame)), { hash, number, into }, key);
}

async function readExactly(
  store: ObjectStore,
  key: string,
  range: { readonly offset: number; readonly length: number },
): Promise<Buffer> {
  const bytes = Buffer.alloc(range.length);
  if ((await store.read(key, range.offset, bytes)) !== range.length)
    throw damaged(key, 'it is cut');
  return bytes;
}

function packMissing(key: string): WalnutError {
  return new WalnutError('object-missing', `read pack ${key}: it is not in the repository`, {
    hint: 'Run `walnut verify` to see which backups it hits.',
    details: { key, reason: 'missing' },
  });
}
