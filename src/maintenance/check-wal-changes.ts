import { dirname } from 'node:path/posix';
import { hasCode } from '../lib/walnut-error.ts';
import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumberAt } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { ChangeChain } from '../postgres/wal/change-chain.ts';
import { decodeChangeSpan, encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { damaged } from '../repository/object-header.ts';
import { readWalObjectChanges } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WalObjectCheck } from './check-wal-object.ts';
import { streamSealedObject } from '../repository/sealed-stream.ts';

/** Checks that the changes stored with a segment are those that its WAL tells. */
export function requireEqualChanges(
  key: string,
  stored: Uint8Array,
  found: ChangeSpan | undefined,
): void {
  const { startLsn } = decodeChangeSpan(stored);
  if (found !== undefined && Buffer.compare(encodeChangeSpan(found), stored) === 0) return;
  throw damaged(key, `its changes from ${formatLsn(startLsn)} on differ from its WAL`);
}

/** WAL of whole segments of one timeline: [start, end). */
type Run = { readonly timeline: TimelineId; readonly start: Lsn; readonly end: Lsn };

/**
 * Checks sealed changes: that they can be read, are of the WAL that their name says, and are those of the segments as far as
 * these are still stored.
 */
export async function checkWalChanges(
  store: ObjectStore,
  { key, identity }: WalObjectCheck,
  run: Run,
): Promise<void> {
  const parts: Buffer[] = [];
  await streamSealedObject(store, {
    key,
    kind: 'wal-changes',
    onPlain: (part) => parts.push(Buffer.from(part)),
  });
  const plain = Buffer.concat(parts);
  const span = decodeChangeSpan(plain);
  const fits =
    span.startLsn === run.start &&
    span.endLsn === run.end &&
    span.isClosed &&
    span.systemIdentifier === identity.systemIdentifier &&
    span.majorVersion === identity.majorVersion &&
    span.segmentBytes === identity.segmentBytes;
  if (!fits) throw damaged(key, 'it holds changes of other WAL than its name says');
  const found = await joinSegments(store, { ...run, key, segmentBytes: identity.segmentBytes });
  if (found === null || Buffer.compare(encodeChangeSpan(found), plain) === 0) return;
  throw damaged(key, 'it tells other changes than the segments that it was made of');
}

/** Null when a segment is gone, has no changes noted or is damaged, which is reported under its own name. */
async function joinSegments(
  store: ObjectStore,
  run: Run & { readonly key: string; readonly segmentBytes: number },
): Promise<ChangeSpan | null> {
  const { timeline, start, end, segmentBytes } = run;
  const folder = dirname(dirname(run.key));
  const chain = new ChangeChain();
  const last = segmentNumberAt(end, segmentBytes);
  for (let number = segmentNumberAt(start, segmentBytes); number < last; number += 1n) {
    const name = formatSegmentName({ timeline, number }, segmentBytes);
    try {
      const noted = await readWalObjectChanges(store, `${folder}/${name}`);
      if (noted.length === 0) return null;
      // What a record beyond the notes' reach says was read from WAL when the run was sealed.
      if (chain.append(decodeChangeSpan(noted)).kind !== 'joined') return null;
    } catch (error) {
      if (!hasCode(error, 'object-missing', 'object-damaged', 'unsupported')) throw error;
      return null;
    }
  }
  return chain.span ?? null;
}
