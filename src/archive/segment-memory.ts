import { must } from '../lib/assert.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { formatLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import type { WalMemory } from '../postgres/replication/batch-memory.ts';
import { formatSegmentName, offsetInSegment, segmentNumberAt } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { makeWalBuffers } from '../postgres/wal/wal-buffers.ts';

/** Two segments fill and one is stored. Larger ones than the usual would take more than a receiver may. */
const SEGMENTS_MAX = 3;
const SEGMENT_BYTES_MAX: number = 32 * 1024 * 1024;
const SEGMENT_BYTES_MIN: number = 16 * 1024 * 1024;
/** Of what is unread and of what is being written: together they touch two segments at most. */
const QUEUE_BYTES_MAX: number = 6 * 1024 * 1024;

type Held = { readonly name: string; readonly memory: Buffer };

/**
 * Memory for whole segments, into which WAL is copied as it arrives, from which it is written to the spool, past the page
 * cache, and then stored: reading a segment back costs as much as receiving it. It is used again and again. Where the
 * storer is far behind, whole segments give their memory up; they are read from the spool then.
 */
export class SegmentMemory {
  readonly #segmentBytes: number;
  #free: Buffer[] = [];
  /** Segments that are received now. */
  #filling: Held[] = [];
  /** Whole segments in the order in which they were finished, which is that of their storing. */
  #whole: Held[] = [];
  #reading: string | null = null;
  #isMade = false;

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes;
  }

  /** For a stream that begins, when no other is read any more; null when segments of this size are not held. */
  ofTimeline(timeline: TimelineId): WalMemory | null {
    const isHeld =
      this.#segmentBytes >= SEGMENT_BYTES_MIN && this.#segmentBytes <= SEGMENT_BYTES_MAX;
    if (!isHeld) return null;
    if (!this.#isMade) this.#free = makeWalBuffers(SEGMENTS_MAX, this.#segmentBytes);
    this.#isMade = true;
    for (const { memory } of this.#filling) this.#free.push(memory);
    this.#filling = [];
    let number = -1n;
    let memory: Buffer | null = null;
    let next: Lsn | null = null;
    return {
      queueBytesMax: QUEUE_BYTES_MAX,
      copy: (start: Lsn, part: Uint8Array) => {
        // Bytes that came before may be on their way to the disk.
        if (next !== null && start !== next) throw outOfOrder(start, next);
        const here = segmentNumberAt(start, this.#segmentBytes);
        if (memory === null || here !== number) {
          memory = this.#begin(formatSegmentName({ timeline, number: here }, this.#segmentBytes));
          number = here;
        }
        const offset = offsetInSegment(start, this.#segmentBytes);
        const taken = Math.min(part.length, this.#segmentBytes - offset);
        memory.set(part.subarray(0, taken), offset);
        next = toLsn(start + BigInt(taken));
        return memory.subarray(offset, offset + taken);
      },
      turn: () => {},
    };
  }

  /** Where a segment is being received to; null when it is not. */
  filling(name: string): Buffer | null {
    return this.#filling.find((held) => held.name === name)?.memory ?? null;
  }

  /** A segment is whole. */
  finish(name: string): void {
    const held = this.#filling.find((candidate) => candidate.name === name);
    if (held === undefined) return;
    this.forget(name);
    this.#filling = this.#filling.filter((candidate) => candidate !== held);
    this.#whole.push(held);
  }

  /** The content of a whole segment, null when it is not here; valid until the next call or {@link forget}. */
  read(name: string): Buffer | null {
    this.#reading = name;
    return this.#whole.find((held) => held.name === name)?.memory ?? null;
  }

  /** A whole segment is stored. */
  forget(name: string): void {
    const held = this.#whole.find((candidate) => candidate.name === name);
    if (held === undefined) return;
    this.#whole = this.#whole.filter((candidate) => candidate !== held);
    this.#free.push(held.memory);
  }

  #begin(name: string): Buffer {
    const memory = this.#free.pop() ?? this.#takeFromWhole();
    this.#filling.push({ name, memory });
    return memory;
  }

  /** From the newest that is not being stored, because its turn comes last. */
  #takeFromWhole(): Buffer {
    const given = this.#whole.findLast(({ name }) => name !== this.#reading);
    const { name, memory } = must(given, 'two segments fill and one is read');
    this.#whole = this.#whole.filter((held) => held.name !== name);
    return memory;
  }
}

/** What the server sent is not what follows what it sent before. */
export function outOfOrder(start: Lsn, due: Lsn): WalnutError {
  return new WalnutError(
    'connection',
    `stream WAL: the server sent ${formatLsn(start)} where ${formatLsn(due)} was due`,
  );
}
