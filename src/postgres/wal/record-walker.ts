import { assert } from '../../lib/assert.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import type { RecordFragment } from './change-span.ts';
import { ContinuationHead, type HeadContinuation } from './continuation-head.ts';
import { PageSequence, type PageSequenceOptions } from './page-sequence.ts';
import { PartialRecord, type TailFragment } from './partial-record.ts';
import { isResourceManager, lengthProblem, RECORD_CRC_OFFSET } from './record-header.ts';
import type { WalVersion } from './versions/wal-version.ts';
import { WalBytes } from './wal-bytes.ts';
import {
  LONG_PAGE_HEADER_BYTES,
  RECORD_HEADER_BYTES,
  RESOURCE_MANAGERS,
  SHORT_PAGE_HEADER_BYTES,
  WAL_PAGE_BYTES,
  XLOG_OPERATIONS,
} from './wal-constants.ts';
import { WalRecord, type RecordVisitor } from './wal-record.ts';
import type { WalStop, WalStopReason } from './wal-stop.ts';

/**
 * `start` is the LSN of the first byte that will be fed and begins a page; `majorVersion` and `systemIdentifier` are
 * taken from the first page when not given; `timelineMax` is the timeline of the file's name.
 */
export type RecordWalkerOptions = PageSequenceOptions & {
  readonly visitor: RecordVisitor;
  /** Start of the record before the first one, when known. */
  readonly previousRecord?: Lsn | undefined;
};

export type WalkStatus = 'need-more' | 'stopped';

/**
 * - `between`: at the end of a record, or of its padding
 * - `record`: inside a record whose bytes are gathered from several pages or pieces
 * - `head`: inside the end of a record that began before the walk
 * - `switched`: inside the unused rest of a segment after XLOG_SWITCH
 */
type Mode = 'between' | 'record' | 'head' | 'switched';

/**
 * Walks over contiguous WAL, fed in pieces of any length, and shows every whole record to a visitor after checking
 * page headers, checksum and `xl_prev`. It follows XLogReadRecord of src/backend/access/transam/xlogreader.c, does no
 * I/O and holds no more memory than the visitor wants of one record. The first thing that is not valid WAL stops it
 * for good with a typed reason; it never throws because of its input.
 */
export class RecordWalker {
  readonly #start: Lsn;
  readonly #visitor: RecordVisitor;
  readonly #pages: PageSequence;
  readonly #pageBytes = new WalBytes(new Uint8Array(LONG_PAGE_HEADER_BYTES));
  readonly #partial = new PartialRecord();
  readonly #head = new ContinuationHead();
  #record: WalRecord | undefined;
  #chunk = new WalBytes(new Uint8Array(0));
  /** The next byte of the chunk. */
  #at = 0;
  /** The same byte's distance from the start of the walk. */
  #position = 0;
  #pageLeft = 0;
  #pageHeaderHeld = 0;
  #mode: Mode = 'between';
  #previousHigh = -1;
  #previousLow = 0;
  #recordCount = 0;
  #firstOffset = -1;
  #firstPrev: Lsn | undefined;
  #lastOffset = -1;
  #validEnd = 0;
  #switchEnd: number | undefined;
  #stop: WalStop | undefined;

  constructor(options: RecordWalkerOptions) {
    const { start, previousRecord } = options;
    assert(start % BigInt(WAL_PAGE_BYTES) === 0n, 'a WAL walk begins at a page');
    this.#start = start;
    this.#visitor = options.visitor;
    this.#pages = new PageSequence(options);
    if (previousRecord !== undefined) {
      this.#previousHigh = Number(previousRecord >> 32n);
      this.#previousLow = Number(previousRecord & 0xffff_ffffn);
    }
  }

  /** Takes the bytes that follow those fed before. The bytes are not kept after the call. */
  feed(bytes: Uint8Array): WalkStatus {
    this.#chunk = new WalBytes(bytes);
    this.#at = 0;
    while (this.#at < bytes.length && this.#stop === undefined) this.#step();
    this.#chunk = this.#pageBytes;
    return this.#stop === undefined ? 'need-more' : 'stopped';
  }

  /** Why the walk ended; `undefined` while it can go on. */
  get stop(): WalStop | undefined {
    return this.#stop;
  }

  /** Known after the first page. */
  get version(): WalVersion | undefined {
    return this.#pages.expected?.version;
  }

  /** As the first page of a segment said it. */
  get systemIdentifier(): bigint | undefined {
    return this.#pages.systemIdentifier;
  }

  /** Timelines of the first and the last page; 0 before the first page. */
  get timelines(): { readonly first: number; readonly last: number } {
    return { first: this.#pages.timelineFirst, last: this.#pages.timelineLast };
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  get firstRecord(): { readonly lsn: Lsn; readonly prev: Lsn } | undefined {
    return this.#firstPrev === undefined
      ? undefined
      : { lsn: this.#lsnAt(this.#firstOffset), prev: this.#firstPrev };
  }

  get lastRecordLsn(): Lsn | undefined {
    return this.#lastOffset < 0 ? undefined : this.#lsnAt(this.#lastOffset);
  }

  /** End of the last whole record (of its padding; of the segment after a switch), or of the continuation before it. */
  get validEnd(): Lsn {
    return this.#lsnAt(this.#validEnd);
  }

  /** LSN of the next byte to feed. */
  get position(): Lsn {
    return this.#lsnAt(this.#position);
  }

  /** After XLOG_SWITCH as the last record: where its bytes end and the unused rest of the segment begins. */
  get switchedAt(): Lsn | undefined {
    return this.#switchEnd === undefined ? undefined : this.#lsnAt(this.#switchEnd);
  }

  /** The end of a record that began before the walk, as far as it was fed. */
  get head(): HeadContinuation | undefined {
    return this.#head.facts();
  }

  /** The record that is begun and not yet whole. */
  get tail(): TailFragment | undefined {
    return this.#mode === 'record' && this.#stop === undefined
      ? this.#partial.facts(this.#lsnAt(this.#partial.offset))
      : undefined;
  }

  /** The bytes of head and tail as `ChangeSpan` has them, where there are any. */
  fragments(): { readonly head: RecordFragment; readonly tail: RecordFragment } {
    return { head: this.#head.fragment(), tail: this.#partial.fragment() };
  }

  #step(): void {
    if (this.#pageLeft === 0 && this.#mode !== 'switched') return this.#enterPage();
    switch (this.#mode) {
      case 'between':
        return this.#walkPage();
      case 'record':
        return this.#gatherRecord();
      case 'head':
        return this.#skipHead();
      case 'switched':
        return this.#skipSwitched();
    }
  }

  // --- pages

  #enterPage(): void {
    const segmentStart = this.#pages.inSegment(this.#position) === 0;
    const length = segmentStart ? LONG_PAGE_HEADER_BYTES : SHORT_PAGE_HEADER_BYTES;
    const held = this.#pageHeaderHeld;
    const taken = Math.min(this.#chunk.bytes.length - this.#at, length - held);
    if (taken < length) {
      this.#pageBytes.bytes.set(this.#chunk.bytes.subarray(this.#at, this.#at + taken), held);
      this.#pageHeaderHeld += taken;
      if (held + taken < length) {
        this.#at += taken;
        return;
      }
    }
    const problem =
      taken === length
        ? this.#pages.accept(this.#chunk.view, this.#at, this.#position)
        : this.#pages.accept(this.#pageBytes.view, 0, this.#position);
    const refused = problem ?? this.#joinPage();
    if (refused !== undefined) return this.#stopAt(this.#position, refused);
    this.#pageHeaderHeld = 0;
    this.#at += taken;
    this.#position += length;
    this.#pageLeft = WAL_PAGE_BYTES - length;
  }

  /** Joins the accepted page with what lies before it, or says why it cannot. */
  #joinPage(): WalStopReason | undefined {
    const { continues, overwrites, remaining } = this.#pages;
    if (this.#position === 0) {
      if (continues && remaining === 0) return 'bad-continuation-length';
      if (continues || overwrites) this.#head.begin(remaining, overwrites);
      if (continues && !overwrites) this.#mode = 'head';
      return undefined;
    }
    if (this.#mode === 'between') return continues ? 'unexpected-continuation' : undefined;
    if (overwrites) {
      this.#giveUpRecord();
      return undefined;
    }
    if (!continues) return 'missing-continuation';
    const left = this.#mode === 'head' ? this.#head.left : this.#partial.left;
    return remaining === left ? undefined : 'bad-continuation-length';
  }

  #giveUpRecord(): void {
    if (this.#mode === 'head') this.#head.overwrite();
    else this.#visitor.overwritten?.(this.#lsnAt(this.#partial.offset));
    this.#mode = 'between';
  }

  // --- records

  /** The hot loop: records that lie whole in this page and this chunk. */
  #walkPage(): void {
    this.#skipPadding();
    const { view } = this.#chunk;
    const { length } = this.#chunk.bytes;
    while (this.#pageLeft > 0 && this.#at < length) {
      const available = Math.min(this.#pageLeft, length - this.#at);
      const total = available >= RECORD_HEADER_BYTES ? view.getUint32(this.#at, true) : Infinity;
      if (total > available || total < RECORD_HEADER_BYTES) {
        this.#partial.begin(this.#position);
        this.#mode = 'record';
        return;
      }
      if (!this.#acceptWhole(total)) return;
      this.#skipPadding();
    }
  }

  /** Shows the record at hand, `total` bytes that all lie in the chunk; `false` when the page is done with. */
  #acceptWhole(total: number): boolean {
    const chunk = this.#chunk;
    const at = this.#at;
    const problem = this.#headerProblem(chunk.view, at, this.#position);
    if (problem !== undefined) return this.#refuse(this.#position, problem);
    if (!chunk.isIntact(at, total)) return this.#refuse(this.#position, 'bad-crc');
    const offset = this.#position;
    this.#advance(total);
    const record = this.#recordOf(chunk, at);
    record.totalBytes = total;
    record.heldBytes = total;
    return this.#show(record, offset);
  }

  #gatherRecord(): void {
    const partial = this.#partial;
    const available = Math.min(this.#pageLeft, this.#chunk.bytes.length - this.#at);
    const taken = partial.take(this.#chunk, this.#at, available);
    this.#advance(taken);
    const problem =
      partial.gathered < 4 ? undefined : lengthProblem(partial.totalBytes, this.#version());
    if (problem !== undefined) return this.#stopAt(partial.offset, problem);
    if (!partial.headerSeen && partial.gathered >= RECORD_HEADER_BYTES) {
      partial.headerSeen = true;
      const refused = this.#headerProblem(partial.held.view, 0, partial.offset);
      if (refused !== undefined) return this.#stopAt(partial.offset, refused);
      const { view } = partial.held;
      const [info, manager] = [view.getUint8(16), view.getUint8(17)];
      partial.want(this.#visitor.wantedBytes(manager, info, partial.totalBytes));
    }
    if (partial.gathered === partial.totalBytes && partial.headerSeen) this.#finishRecord();
  }

  #finishRecord(): void {
    const { held, offset, totalBytes, heldBytes } = this.#partial;
    const crc = held.crc(this.#partial.bodyCrc, 0, RECORD_CRC_OFFSET);
    if (crc !== held.view.getUint32(RECORD_CRC_OFFSET, true))
      return this.#stopAt(offset, 'bad-crc');
    this.#mode = 'between';
    const record = this.#recordOf(held, 0);
    record.totalBytes = totalBytes;
    record.heldBytes = heldBytes;
    this.#show(record, offset);
    this.#partial.release();
  }

  #headerProblem(view: DataView, at: number, offset: number): WalStopReason | undefined {
    if (!isResourceManager(view.getUint8(at + 17), this.#version())) return 'bad-resource-manager';
    const low = view.getUint32(at + 8, true);
    const high = view.getUint32(at + 12, true);
    if (this.#previousHigh >= 0) {
      return low === this.#previousLow && high === this.#previousHigh ? undefined : 'bad-prev-link';
    }
    const highHere = this.#pages.highHalf(offset);
    const isBefore = high < highHere || (high === highHere && low < this.#pages.lowHalf(offset));
    return isBefore ? undefined : 'bad-prev-link';
  }

  /** The one object of the walk, as an object per record would cost much of the walking. */
  #recordOf(source: WalBytes, start: number): WalRecord {
    const record = (this.#record ??= new WalRecord(this.#version(), this.#start));
    record.bytes = source.bytes;
    record.view = source.view;
    record.start = start;
    return record;
  }

  /** Shows a checked record to the visitor and links it; the walk stands behind its bytes. */
  #show(record: WalRecord, offset: number): boolean {
    const { view, start } = record;
    record.offset = offset;
    record.xid = view.getUint32(start + 4, true);
    record.prev.low = view.getUint32(start + 8, true);
    record.prev.high = view.getUint32(start + 12, true);
    record.info = view.getUint8(start + 16);
    record.resourceManager = view.getUint8(start + 17);
    const end = this.#position + ((8 - (this.#position % 8)) % 8);
    const isSwitch =
      record.resourceManager === RESOURCE_MANAGERS.xlog &&
      (record.info & 0xf0) === XLOG_OPERATIONS.switch;
    record.endOffset = isSwitch ? this.#pages.segmentEnd(end) : end;
    if (!this.#visitor.record(record)) return this.#refuse(offset, 'malformed-record');
    this.#link(record);
    if (!isSwitch) return true;
    this.#switchEnd = end;
    if (record.endOffset > end) this.#mode = 'switched';
    return false;
  }

  #link(record: WalRecord): void {
    if (this.#firstPrev === undefined) {
      this.#firstPrev = record.prevLsn;
      this.#firstOffset = record.offset;
    }
    this.#previousLow = this.#pages.lowHalf(record.offset);
    this.#previousHigh = this.#pages.highHalf(record.offset);
    this.#lastOffset = record.offset;
    this.#validEnd = record.endOffset;
    this.#switchEnd = undefined;
    this.#recordCount += 1;
  }

  // --- bytes that are passed over

  #skipPadding(): void {
    const padding = (8 - (this.#position % 8)) % 8;
    if (padding > 0) this.#advance(Math.min(padding, this.#chunk.bytes.length - this.#at));
  }

  #skipHead(): void {
    const available = Math.min(this.#pageLeft, this.#chunk.bytes.length - this.#at);
    this.#advance(this.#head.take(this.#chunk, this.#at, available));
    if (this.#head.left > 0) return;
    this.#mode = 'between';
    this.#validEnd = this.#position + ((8 - (this.#position % 8)) % 8);
  }

  #skipSwitched(): void {
    const left = this.#pages.segmentEnd(this.#position) - this.#position;
    const taken = Math.min(left, this.#chunk.bytes.length - this.#at);
    this.#at += taken;
    this.#position += taken;
    if (taken < left) return;
    this.#mode = 'between';
    this.#pageLeft = 0;
  }

  #advance(count: number): void {
    this.#at += count;
    this.#position += count;
    this.#pageLeft -= count;
  }

  // --- small things

  #version(): WalVersion {
    const version = this.#pages.expected?.version;
    assert(version !== undefined, 'a record lies behind a page header');
    return version;
  }

  #lsnAt(offset: number): Lsn {
    return toLsn(this.#start + BigInt(offset));
  }

  #refuse(offset: number, reason: WalStopReason): false {
    this.#stopAt(offset, reason);
    return false;
  }

  #stopAt(offset: number, reason: WalStopReason): void {
    this.#stop = { reason, lsn: this.#lsnAt(offset) };
  }
}
