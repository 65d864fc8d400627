/**
 * `restore_command`: brings one file of the archive to where recovery wants it. PostgreSQL takes a failure for the end of
 * WAL and promotes, so `not-in-repository` is thrown for one thing only: a file beyond the end of the plan, or, without a
 * plan, one behind which nothing of its timeline or its descendants is stored. Every other absence is a hole.
 */
import { PIECE_LOOKS_MAX, piecesKeepVanishing } from '../catalog/segment-content.ts';
import { readWalInventory, type WalInventory } from '../catalog/wal-inventory.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import { isSegmentName, parseSegmentName } from '../postgres/segment-name.ts';
import { parseHistoryFileName, parseTimelineHistory } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { walKeys, type IncarnationName } from '../repository/layout.ts';
import { nameOfIncarnation, type Incarnation } from '../repository/repository.ts';
import { streamSealedObject } from '../repository/sealed-stream.ts';
import { readWalObject } from '../repository/wal-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { judgeMissingHistory, judgeMissingSegment, type FetchPlan } from './fetch-decision.ts';
import { findOtherCopy, type SegmentCopy } from './other-copies.ts';
import { findIncarnation } from './incarnation.ts';
import { placeFile } from './place-file.ts';

export type FetchRequest = {
  readonly store: ObjectStore;
  readonly server: string;
  /** The name asked for: `%f`. */
  readonly name: string;
  /** Where it goes, relative to the working directory: `%p`. */
  readonly destination: string;
  readonly incarnation?: IncarnationName | undefined;
  readonly plan?: FetchPlan | undefined;
  /** The receiver's spool on this host, as another copy; null when there is none. */
  readonly spoolFolder: string | null;
};

export type FetchOutcome = {
  readonly name: string;
  readonly source: 'segment' | 'partial' | 'pieces' | 'spool' | 'history';
  readonly bytes: number;
  /** Copies that were found damaged on the way and passed over. */
  readonly damaged: readonly { readonly key: string; readonly reason: string }[];
};

export async function fetchWalFile(request: FetchRequest): Promise<FetchOutcome> {
  const { store, server, name } = request;
  const incarnation = await findIncarnation(store, server, request.incarnation);
  const timeline = parseHistoryFileName(name);
  if (timeline !== null) return fetchHistory(request, incarnation, timeline);
  if (!isSegmentName(name)) {
    throw new WalnutError(
      'usage',
      `fetch ${name}: it is no name of a WAL segment or history file`,
      {
        hint: 'Use restore_command as `walnut restore` writes it.',
      },
    );
  }
  return fetchSegment(request, incarnation);
}

async function fetchHistory(
  request: FetchRequest,
  incarnation: Incarnation,
  timeline: TimelineId,
): Promise<FetchOutcome> {
  const { store, server, name, plan, destination } = request;
  const key = walKeys.history(server, nameOfIncarnation(incarnation), name);
  // A plan's recovery goes along a timeline that is named, so a later history cannot redirect it: PostgreSQL asks for it
  // to find a free number for the timeline that it begins (findNewestTimeLine in src/backend/access/transam/timeline.c).
  const isBehindPlan = plan?.timeline !== undefined && timeline > plan.timeline;
  try {
    const content = await readWalObject(store, key, 'timeline-history');
    parseTimelineHistory(timeline, content);
    await placeFile(destination, async (append) => append(content));
    return { name, source: 'history', bytes: content.length, damaged: [] };
  } catch (error) {
    if (isBehindPlan && hasCode(error, 'object-missing', 'object-damaged')) {
      throw beyond(request, `the restore was planned along timeline ${plan.timeline}`);
    }
    if (!hasCode(error, 'object-missing')) throw error;
    const inventory = await readWalInventory(store, { server, incarnation });
    const judgement = judgeMissingHistory(inventory, timeline);
    throw judgement.isHole ? hole(request, judgement.reason) : beyond(request, judgement.reason);
  }
}

async function fetchSegment(
  request: FetchRequest,
  incarnation: Incarnation,
  attemptsLeft = PIECE_LOOKS_MAX,
): Promise<FetchOutcome> {
  const { store, server, name } = request;
  const segmentBytes = incarnation.walSegmentBytes;
  const { timeline } = parseSegmentName(name, segmentBytes);
  const key = walKeys.segment(
    { server, incarnation: nameOfIncarnation(incarnation), timeline },
    name,
  );
  let damage: WalnutError | null = null;
  try {
    await placeStored(request, key, segmentBytes);
    return { name, source: 'segment', bytes: segmentBytes, damaged: [] };
  } catch (error) {
    if (!hasCode(error, 'object-missing', 'object-damaged')) throw error;
    if (error.code === 'object-damaged') damage = error;
  }
  const inventory = await readWalInventory(store, { server, incarnation });
  const copy = await findOtherCopy({ ...request, inventory, isDamaged: damage !== null });
  if (copy === 'look-again') {
    if (attemptsLeft > 1) return fetchSegment(request, incarnation, attemptsLeft - 1);
    throw piecesKeepVanishing(`fetch ${name}`);
  }
  if (copy !== null) {
    const damaged = damage === null ? [] : [{ key, reason: damage.message }];
    return placeCopy(request, { ...copy, damaged: [...damaged, ...copy.damaged] });
  }
  throw damage === null ? explainAbsence(request, inventory) : noOtherCopy(request, damage);
}

/** A segment that is stored whole goes to its place as it is opened: it may have 1 GB. */
async function placeStored(
  { store, destination }: FetchRequest,
  key: string,
  segmentBytes: number,
): Promise<void> {
  await placeFile(destination, async (append) => {
    const request = { key, kind: 'wal-segment', onPlain: append } as const;
    const { header } = await streamSealedObject(store, request);
    if (header.plainBytes !== segmentBytes) {
      throw wrongLength(key, header.plainBytes, segmentBytes);
    }
  });
}

async function placeCopy(request: FetchRequest, copy: SegmentCopy): Promise<FetchOutcome> {
  const { source, bytes, damaged } = copy;
  await placeFile(request.destination, async (append) => append(bytes));
  return { name: request.name, source, bytes: bytes.length, damaged };
}

function explainAbsence(request: FetchRequest, inventory: WalInventory): WalnutError {
  const judgement = judgeMissingSegment(inventory, request.name, request.plan);
  return judgement.isHole ? hole(request, judgement.reason) : beyond(request, judgement.reason);
}

function beyond({ name, server }: FetchRequest, reason: string): WalnutError {
  return new WalnutError('not-in-repository', `fetch ${name} of server ${server}: ${reason}`);
}

function hole({ name, server }: FetchRequest, reason: string): WalnutError {
  return new WalnutError(
    'wal-gap',
    `fetch ${name} of server ${server}: it is missing, but ${reason}`,
    {
      hint:
        'WAL has a hole here. Recovery must not go on, or it would end early and promote. If another copy of the file ' +
        `exists, store it with \`walnut wal push ${server} PATH\`; else restore to a target before the hole.`,
      details: { segment: name },
    },
  );
}

function noOtherCopy({ name, server }: FetchRequest, damage: WalnutError): WalnutError {
  return new WalnutError(
    'object-damaged',
    `fetch ${name} of server ${server}: the stored copy is damaged and there is no other`,
    {
      hint:
        'Remove nothing. If another copy of the file exists (pg_wal of a server, a mirror), put it into pg_wal of the ' +
        'restored cluster; else restore to a target before it.',
      cause: damage,
      details: damage.details,
    },
  );
}

function wrongLength(key: string, length: number, segmentBytes: number): WalnutError {
  return new WalnutError(
    'object-damaged',
    `read object ${key}: it has ${length} bytes, not ${segmentBytes}`,
    { details: { key } },
  );
}
