/**
 * Sealed indexes: the summaries of 256 neighbouring segments in one object, so that targets and windows are found without
 * opening each segment. Everything in them can be made again from the segments (docs/repository-format.md, "WAL index").
 */
import { z } from 'zod';
import { hasCode } from '../lib/walnut-error.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { SegmentFacts } from '../postgres/wal/segment-facts.ts';
import { formatSegmentName } from '../postgres/segment-name.ts';
import { walKeys } from '../repository/layout.ts';
import { damaged } from '../repository/object-header.ts';
import { openObject, putSealed, readHeader } from '../repository/sealed-object.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readSegmentFacts } from './segment-content.ts';
import { segmentSummaryCodec, summarizeSegment, type SegmentSummary } from './segment-summary.ts';
import { holdsSegment, type StoredIndex, type WalInventory } from './wal-inventory.ts';
import { servingTimeline, type WalPathSegment } from './wal-path.ts';

/** Segments per index; indexes begin at multiples of it. */
const INDEX_SEGMENTS = 256;
const INDEX_BYTES_MAX: number = 64 * 1024 * 1024;
const INDEX_LEVEL = 3;

const indexSchema = z.strictObject({
  version: z.literal(1),
  segments: z.array(
    z.strictObject({
      summary: segmentSummaryCodec,
      plainBytes: z.number(),
      /** BLAKE3 of the segment, hexadecimal. */
      plainHash: z.string(),
    }),
  ),
});

/** Whether a block ends with this segment, so that storing it is the moment to seal one. */
export function endsBlock(number: bigint): boolean {
  return blockOf(number).last === number;
}

/** The block of segments that one index covers and this segment belongs to. */
export function blockOf(number: bigint): { readonly first: bigint; readonly last: bigint } {
  const size = BigInt(INDEX_SEGMENTS);
  const first = number - (number % size);
  return { first, last: first + size - 1n };
}

/** Writes every index that is missing and whose segments are all stored; answers how many. */
export async function sealIndexes(store: ObjectStore, inventory: WalInventory): Promise<number> {
  let sealed = 0;
  for (const stored of inventory.timelines.values()) {
    const present = new Set(stored.indexes.map(({ first }) => first));
    for (const run of stored.runs) {
      for (const first of blocksIn(run)) {
        if (present.has(first)) continue;
        await sealIndex(store, inventory, { timeline: stored.timeline, first });
        sealed += 1;
      }
    }
  }
  return sealed;
}

/** The summaries of a sealed index by segment name. @throws WalnutError `object-damaged`. */
export async function readIndex(
  store: ObjectStore,
  index: StoredIndex,
): Promise<ReadonlyMap<string, SegmentSummary>> {
  const { plain } = openObject(await store.get(index.key, INDEX_BYTES_MAX), 'wal-index', index.key);
  try {
    const parsed = indexSchema.parse(JSON.parse(plain.toString('utf8')));
    return new Map(parsed.segments.map(({ summary }) => [summary.name, summary]));
  } catch (error) {
    throw damaged(index.key, 'its content is no WAL index', error);
  }
}

type Block = { readonly timeline: TimelineId; readonly first: bigint };

async function sealIndex(store: ObjectStore, inventory: WalInventory, block: Block): Promise<void> {
  const { server, name: incarnation, segmentBytes } = inventory;
  const { timeline, first } = block;
  const place = { server, incarnation, timeline };
  const segments: z.infer<typeof indexSchema>['segments'] = [];
  let previous = await factsBefore(store, inventory, block);
  for (let number = first; number < first + BigInt(INDEX_SEGMENTS); number += 1n) {
    const segment = wholeSegment(timeline, number, segmentBytes);
    const facts = await readSegmentFacts(store, inventory, segment);
    const header = await readHeader(store, walKeys.segment(place, segment.name));
    const summary = summarizeSegment(facts, previous);
    segments.push({
      summary: { ...summary, restorePoints: [...summary.restorePoints] },
      plainBytes: header.plainBytes,
      plainHash: Buffer.from(header.plainHash).toString('hex'),
    });
    previous = facts;
  }
  const names = [segments[0], segments.at(-1)].map((entry) => entry?.summary.name ?? '');
  const key = walKeys.index(place, names[0] ?? '', names[1] ?? '');
  const document = indexSchema.encode({ version: 1, segments });
  const plain = Buffer.from(JSON.stringify(document));
  try {
    await putSealed(store, key, { kind: 'wal-index', plain, level: INDEX_LEVEL });
  } catch (error) {
    // Sealed meanwhile by another process, which may have known the segment before the first one, or not.
    if (!hasCode(error, 'object-exists')) throw error;
  }
}

async function factsBefore(
  store: ObjectStore,
  inventory: WalInventory,
  { timeline, first }: Block,
): Promise<SegmentFacts | null> {
  const number = first - 1n;
  if (number < 0n || !inventory.histories.has(timeline)) return null;
  const holder = servingTimeline(inventory, { timeline, number });
  const stored = holder === null ? undefined : inventory.timelines.get(holder);
  if (holder === null || stored === undefined || !holdsSegment(stored, number)) return null;
  return readSegmentFacts(store, inventory, wholeSegment(holder, number, inventory.segmentBytes));
}

function wholeSegment(timeline: TimelineId, number: bigint, segmentBytes: number): WalPathSegment {
  return {
    timeline,
    number,
    name: formatSegmentName({ timeline, number }, segmentBytes),
    open: null,
  };
}

function* blocksIn(run: { readonly first: bigint; readonly last: bigint }): Iterable<bigint> {
  const size = BigInt(INDEX_SEGMENTS);
  const first = ((run.first + size - 1n) / size) * size;
  for (let at = first; at + size - 1n <= run.last; at += size) yield at;
}
