import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { decodeChangeSpan, encodeChangeSpan } from '../postgres/wal/change-span-codec.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { damaged } from '../repository/object-header.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { WalObjectCheck } from './check-wal-object.ts';
import { checkSealedObject } from './sealed-parts.ts';

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

/** Checks sealed changes: that they can be read, and are of the WAL that their name says. */
export async function checkWalChanges(
  store: ObjectStore,
  { key, identity }: WalObjectCheck,
  run: { readonly start: Lsn; readonly end: Lsn },
): Promise<void> {
  const parts: Buffer[] = [];
  await checkSealedObject(store, {
    key,
    kind: 'wal-changes',
    onPlain: (part) => parts.push(Buffer.from(part)),
  });
  const span = decodeChangeSpan(Buffer.concat(parts));
  const fits =
    span.startLsn === run.start &&
    span.endLsn === run.end &&
    span.isClosed &&
    span.systemIdentifier === identity.systemIdentifier &&
    span.majorVersion === identity.majorVersion &&
    span.segmentBytes === identity.segmentBytes;
  if (!fits) throw damaged(key, 'it holds changes of other WAL than its name says');
}
