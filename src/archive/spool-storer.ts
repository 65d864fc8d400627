/**
 * Brings what the spool holds into the repository: whole segments in order, and every few seconds the new bytes of
 * unfinished ones as pieces. Nothing leaves the spool before it is durable in the repository, however long that is away.
 */
import { sealBlock } from '../catalog/seal-block.ts';
import type { WalInventory } from '../catalog/wal-inventory.ts';
import { coverOf, type OpenSegment } from '../catalog/open-segment.ts';
import { walIdentity } from '../catalog/segment-content.ts';
import { hasCode, messageOf, WalnutError } from '../lib/walnut-error.ts';
import { Backoff } from '../lib/sleep.ts';
import { maxLsn, toLsn, type Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, parseSegmentName, segmentStart } from '../postgres/segment-name.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { describeSegment } from '../postgres/wal/segment-facts.ts';
import { pause } from './pause.ts';
import { walKeys } from '../repository/layout.ts';
import { storeWalObject } from '../repository/wal-object.ts';
import { planPiece, type StoredPiece } from './piece-plan.ts';
import type { ReceiverProgress } from './receiver-event.ts';
import type { Spool, SpooledPart } from './spool.ts';
import { newObjectMemory, placeOf, storeSegment, type WalDestination } from './store-segment.ts';

const RETRY = { firstMs: 250, maxMs: 15_000 };
/** Segments for whose stored forms memory is kept. */
const OBJECT_MEMORY_BYTES_MAX: number = 64 * 1024 * 1024;

export type StorerOptions = WalDestination & {
  readonly spool: Spool;
  readonly pieceIntervalMs: number;
  readonly onEvent: ReceiverProgress;
  /** The server's end of WAL, when it is known. */
  readonly serverEnd: () => Lsn | null;
};

type Alarm = 'wal-conflict' | 'foreign-system' | 'object-damaged';
const ALARMS: readonly Alarm[] = ['wal-conflict', 'foreign-system', 'object-damaged'];

export class SpoolStorer {
  readonly #options: StorerOptions;
  readonly #pieces = new Map<string, StoredPiece[]>();
  /** Unfinished segments of timelines that were left: no more bytes will come. */
  readonly #left = new Set<string>();
  readonly #backoff = new Backoff(RETRY);
  /** Per timeline, the end of what is durable in the repository without a hole from what was received. */
  readonly #storedEnds = new Map<TimelineId, Lsn>();
  /** When pieces were last stored, or the open segment was begun: one that fills sooner makes none. */
  #lastPieceMs = 0;
  #openName: string | null = null;
  #memory: Uint8Array | null = null;
  #isEnding = false;
  #wakeUp: (() => void) | null = null;

  constructor(options: StorerOptions, inventory: WalInventory) {
    this.#options = options;
    for (const { open, ranges, timeline } of inventory.timelines.values()) {
      const end = ranges.at(-1)?.end;
      if (end !== undefined) this.#storedEnds.set(timeline, end);
      for (const segment of open) this.#adopt(timeline, segment);
    }
  }

  /** The end of what the repository holds of a timeline; null when it holds nothing. */
  storedEnd(timeline: TimelineId): Lsn | null {
    return this.#storedEnds.get(timeline) ?? null;
  }

  /** Says that there may be something new to store. */
  wake(): void {
    this.#wakeUp?.();
  }

  /** Stores pieces now: the server went away, and what is here may be all there will be. */
  hurry(): void {
    this.#lastPieceMs = 0;
    this.wake();
  }

  /** An unfinished segment will not go on: its last bytes are stored, then it leaves the spool. */
  leave(name: string): void {
    this.#left.add(name);
    this.wake();
  }

  /** Unfinished segments of a former life hold valid WAL only up to their last record. */
  async recover(): Promise<void> {
    for (const { name, length } of this.#options.spool.partials) {
      const bytes = await this.#options.spool.readPartial(name, 0, length);
      const facts = describeSegment(bytes, { name, ...walIdentity(this.#options.incarnation) });
      this.#options.spool.trust(name, Number(facts.validEnd - facts.startLsn));
    }
  }

  /**
   * Stores until `signal` is aborted, then what is still there, as long as the repository takes it at the first attempt.
   * Rejects with `wal-conflict`, `foreign-system` or `object-damaged`: a person must look.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (!(await this.#storeNext())) await this.#waitForWork(signal);
        this.#backoff.reset();
      } catch (error) {
        if (hasCode(error, ...ALARMS)) throw error;
        await this.#retryLater(error, signal);
      }
    }
    this.#isEnding = true;
    try {
      while (await this.#storeNext());
    } catch (error) {
      if (hasCode(error, ...ALARMS)) throw error;
      // What is left waits in the spool for the next start.
      this.#options.onEvent({ kind: 'retrying', reason: messageOf(error), delayMs: 0 });
    }
  }

  /** True when something was stored. */
  async #storeNext(): Promise<boolean> {
    const { spool, pieceIntervalMs } = this.#options;
    const [name] = spool.completeNames;
    if (name !== undefined) {
      await this.#storeSegment(name);
      return true;
    }
    if (spool.openName !== this.#openName) {
      this.#openName = spool.openName;
      this.#lastPieceMs = Date.now();
    }
    const isDue = this.#isEnding || Date.now() - this.#lastPieceMs >= pieceIntervalMs;
    if (isDue) this.#lastPieceMs = Date.now();
    let isAnyStored = false;
    for (const part of spool.partials) {
      const isLeft = this.#left.has(part.name);
      if (!isDue && !isLeft) continue;
      if (await this.#storePiece(part)) isAnyStored = true;
      if (!isLeft || part.name === spool.openName) continue;
      await spool.removePartial(part.name);
      this.#left.delete(part.name);
    }
    return isAnyStored;
  }

  async #storeSegment(name: string): Promise<void> {
    const { spool, onEvent, store, incarnation } = this.#options;
    const bytes = await spool.readComplete(name);
    try {
      await storeSegment(this.#options, { name, bytes, into: this.#objectMemory() });
    } catch (error) {
      if (hasCode(error, 'object-damaged')) throw await this.#setAside(name, error);
      throw error;
    }
    const place = placeOf(this.#options, name);
    for (const { offset, length } of this.#pieces.get(name) ?? []) {
      await store.delete(walKeys.piece(place, { segment: name, offset, length }));
    }
    this.#pieces.delete(name);
    await spool.remove(name);
    const { timeline, number } = parseSegmentName(name, incarnation.walSegmentBytes);
    const end = segmentStart(number + 1n, incarnation.walSegmentBytes);
    this.#advance(timeline, end);
    const stored = await store.stat(walKeys.segment(place, name));
    onEvent({
      kind: 'segment-stored',
      timeline,
      segment: name,
      bytes: bytes.length,
      storedBytes: stored?.sizeBytes ?? 0,
      lagBytes: this.#lagBehind(end),
    });
    await sealBlock(store, this.#options, { timeline, number });
  }

  /** Kept for segments of the usual sizes: a receiver shall not take much memory while nothing comes. */
  #objectMemory(): Uint8Array | undefined {
    const { walSegmentBytes } = this.#options.incarnation;
    if (walSegmentBytes > OBJECT_MEMORY_BYTES_MAX) return undefined;
    this.#memory ??= newObjectMemory(walSegmentBytes);
    return this.#memory;
  }

  /** Answers whether there was anything new. */
  async #storePiece({ name, durable }: SpooledPart): Promise<boolean> {
    const { store, level, onEvent, incarnation } = this.#options;
    const pieces = this.#pieces.get(name) ?? [];
    const plan = planPiece(pieces, durable);
    if (plan === null) return false;
    const plain = await this.#readPart(name, plan);
    if (plain === null) return false;
    const place = placeOf(this.#options, name);
    const { offset } = plan;
    const key = walKeys.piece(place, { segment: name, offset, length: plan.length });
    await storeWalObject(store, { key, kind: 'wal-piece', plain, level });
    for (const old of plan.replaces) {
      const { offset: from, length: bytes } = old;
      await store.delete(walKeys.piece(place, { segment: name, offset: from, length: bytes }));
    }
    const kept = pieces.filter((piece) => !plan.replaces.includes(piece));
    this.#pieces.set(name, [...kept, { offset, length: plan.length }]);
    const { timeline, number } = parseSegmentName(name, incarnation.walSegmentBytes);
    const start = segmentStart(number, incarnation.walSegmentBytes);
    this.#advance(timeline, toLsn(start + BigInt(offset + plan.length)));
    onEvent({ kind: 'piece-stored', timeline, segment: name, offset, bytes: plan.length });
    return true;
  }

  /** Null when the segment was finished meanwhile. */
  async #readPart(
    name: string,
    { offset, length }: { readonly offset: number; readonly length: number },
  ): Promise<Buffer | null> {
    const { spool } = this.#options;
    try {
      return await spool.readPartial(name, offset, length);
    } catch (error) {
      if (spool.completeNames.includes(name)) return null;
      throw error;
    }
  }

  async #setAside(name: string, cause: WalnutError): Promise<WalnutError> {
    const path = await this.#options.spool.setAside(name);
    return new WalnutError('object-damaged', cause.message, {
      hint:
        `The segment as received is kept at ${path}. Start the receiver again: it asks the server for the segment once ` +
        'more. If that fails too, the WAL on the server is damaged: take a new backup now.',
      cause,
      details: cause.details,
    });
  }

  #adopt(timeline: TimelineId, { number, parts }: OpenSegment): void {
    const { walSegmentBytes } = this.#options.incarnation;
    const cover = coverOf(parts.filter(({ kind }) => kind === 'wal-piece'));
    const name = formatSegmentName({ timeline, number }, walSegmentBytes);
    const pieces = cover.parts.map(({ offset, length }) => ({ offset, length }));
    if (pieces.length > 0) this.#pieces.set(name, pieces);
    const start = segmentStart(number, walSegmentBytes);
    this.#advance(timeline, toLsn(start + BigInt(cover.length)));
  }

  #advance(timeline: TimelineId, end: Lsn): void {
    const known = this.#storedEnds.get(timeline);
    this.#storedEnds.set(timeline, known === undefined ? end : maxLsn(known, end));
  }

  #lagBehind(end: Lsn): number | null {
    const serverEnd = this.#options.serverEnd();
    return serverEnd === null ? null : Math.max(0, Number(serverEnd - end));
  }

  async #retryLater(error: unknown, signal: AbortSignal): Promise<void> {
    const delayMs = this.#backoff.nextDelayMs();
    this.#options.onEvent({ kind: 'retrying', reason: messageOf(error), delayMs });
    await pause(delayMs, signal);
  }

  async #waitForWork(signal: AbortSignal): Promise<void> {
    const waitMs = Math.max(10, this.#lastPieceMs + this.#options.pieceIntervalMs - Date.now());
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#wakeUp = null;
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done, { once: true });
      this.#wakeUp = done;
    });
  }
}
