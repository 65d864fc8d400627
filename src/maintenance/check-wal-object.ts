import { formatLsn, type Lsn } from '../postgres/lsn.ts';
import { parseTimelineHistory } from '../postgres/timeline-history.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import { toMajorVersion } from '../postgres/version.ts';
import { decodeSegmentFacts } from '../postgres/wal/segment-facts-codec.ts';
import {
  SegmentDescriber,
  segmentProblem,
  type SegmentFacts,
} from '../postgres/wal/segment-facts.ts';
import { damaged, type ObjectKind } from '../repository/object-header.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { faultOf } from './fault.ts';
import { streamSealedObject } from '../repository/sealed-stream.ts';
import { checkWalChanges, requireEqualChanges } from './check-wal-changes.ts';
import { checkWalIndex } from './check-wal-index.ts';

/** What a name under `wal/` promises, in a form that crosses threads. */
export type WalObjectName =
  | { readonly kind: 'segment' | 'partial'; readonly segment: string }
  | {
      readonly kind: 'piece';
      readonly segment: string;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly kind: 'history'; readonly timeline: number }
  | {
      readonly kind: 'changes';
      readonly timeline: TimelineId;
      readonly start: Lsn;
      readonly end: Lsn;
    }
  | { readonly kind: 'index' | 'gap' | 'backup-history' };

type WalIdentity = {
  readonly segmentBytes: number;
  readonly majorVersion: number;
  readonly systemIdentifier: bigint;
};

export type WalObjectCheck = {
  readonly key: string;
  readonly sizeBytes: number;
  readonly name: WalObjectName;
  readonly identity: WalIdentity;
};

export type WalObjectVerdict = { readonly bytes: number; readonly fault: string | null };

const KINDS: Readonly<Record<WalObjectName['kind'], ObjectKind>> = {
  segment: 'wal-segment',
  partial: 'wal-partial',
  piece: 'wal-piece',
  history: 'timeline-history',
  index: 'wal-index',
  changes: 'wal-changes',
  gap: 'wal-gap',
  'backup-history': 'backup-history',
};

/** Checks an object under `wal/`: that it is whole, and that it is what its name says. */
export async function checkWalObject(
  store: ObjectStore,
  check: WalObjectCheck,
): Promise<WalObjectVerdict> {
  const { sizeBytes: bytes } = check;
  try {
    await checkKind(store, check);
    return { bytes, fault: null };
  } catch (error) {
    return { bytes, fault: faultOf(error) };
  }
}

async function checkKind(store: ObjectStore, check: WalObjectCheck): Promise<void> {
  const { key, name } = check;
  const kind = KINDS[name.kind];
  switch (name.kind) {
    case 'segment':
    case 'partial':
      return checkSegment(store, check, name);
    case 'piece':
      return checkPiece(store, check, name);
    case 'history': {
      const parts: Buffer[] = [];
      await streamSealedObject(store, {
        key,
        kind,
        onPlain: (part) => parts.push(Buffer.from(part)),
      });
      parseTimelineHistory(toTimelineId(name.timeline), Buffer.concat(parts));
      return;
    }
    case 'index':
      return checkWalIndex(store, key);
    case 'changes':
      return checkWalChanges(store, check, name);
    case 'gap':
    case 'backup-history':
      await streamSealedObject(store, { key, kind });
  }
}

/** Walks the WAL anew and compares with what was found out about it when it arrived. */
async function checkSegment(
  store: ObjectStore,
  { key, identity }: WalObjectCheck,
  name: Extract<WalObjectName, { kind: 'segment' | 'partial' }>,
): Promise<void> {
  const { segmentBytes, majorVersion, systemIdentifier } = identity;
  const describer = new SegmentDescriber({
    name: name.segment,
    segmentBytes,
    majorVersion: toMajorVersion(majorVersion),
    systemIdentifier,
  });
  const kind = KINDS[name.kind];
  const { header, annex, secondAnnex } = await streamSealedObject(store, {
    key,
    kind,
    onPlain: (part) => void describer.feed(part),
  });
  if (header.plainBytes !== segmentBytes) {
    throw damaged(key, `it has ${header.plainBytes} bytes, segments have ${segmentBytes}`);
  }
  const found = describer.finish();
  const problem = name.kind === 'segment' ? segmentProblem(found) : undefined;
  if (problem !== undefined) throw damaged(key, problem.message, problem);
  if (annex.length > 0) requireEqualFacts(key, decodeSegmentFacts(annex), found);
  if (secondAnnex.length > 0) requireEqualChanges(key, secondAnnex, describer.changes());
}

async function checkPiece(
  store: ObjectStore,
  { key, identity }: WalObjectCheck,
  piece: Extract<WalObjectName, { kind: 'piece' }>,
): Promise<void> {
  const { header, annex } = await streamSealedObject(store, { key, kind: 'wal-piece' });
  if (header.plainBytes !== piece.length || piece.offset + piece.length > identity.segmentBytes) {
    throw damaged(key, `it has ${header.plainBytes} bytes, which its name contradicts`);
  }
  if (annex.length > 0 && decodeSegmentFacts(annex).name !== piece.segment) {
    throw damaged(key, 'its annex describes another segment');
  }
}

function requireEqualFacts(key: string, stored: SegmentFacts, found: SegmentFacts): void {
  const isEqual =
    stored.name === found.name &&
    stored.startLsn === found.startLsn &&
    stored.recordCount === found.recordCount &&
    stored.validEnd === found.validEnd &&
    stored.lastRecordLsn === found.lastRecordLsn;
  if (isEqual) return;
  throw damaged(
    key,
    `its annex (${stored.name}, ${stored.recordCount} records up to ${formatLsn(stored.validEnd)}) differs from its WAL ` +
      `(${found.recordCount} records up to ${formatLsn(found.validEnd)})`,
  );
}
