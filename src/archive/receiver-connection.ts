/** One connection of the receiver: finds out where to begin, follows timelines, ends when the connection does. */
import type { ArchiveProgress } from '../catalog/archive-progress.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { sqlStateOf } from '../postgres/connection/error-mapping.ts';
import type { Session } from '../postgres/connection/session.ts';
import type { Lsn } from '../postgres/lsn.ts';
import {
  dropSlot,
  identifySystem,
  readTimelineHistory,
  showSetting,
  type SystemIdentity,
} from '../postgres/replication/commands.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import { startWalStream, type WalStreamEnd } from '../postgres/replication/wal-stream.ts';
import { formatSegmentName, segmentNumberAt, segmentStart } from '../postgres/segment-name.ts';
import type { TimelineHistory } from '../postgres/timeline-history.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import { putSealed } from '../repository/sealed-object.ts';
import { answered } from './answered.ts';
import { findOldestSegment } from './gap-search.ts';
import { IdleWatch } from './idle-watch.ts';
import type { ReceiverProgress } from './receiver-event.ts';
import { ReceiverStream } from './receiver-stream.ts';
import { ensureSlot, slotPosition } from './slot.ts';
import type { Spool } from './spool.ts';
import type { SpoolStorer } from './spool-storer.ts';
import { decideStart, type StartPosition } from './start-position.ts';
import { explainForeign, type WalDestination } from './store-segment.ts';
import { storeHistories, type HistoryReader } from './timeline-files.ts';

/** The slot was invalidated: the server no longer keeps WAL for it. */
const OBJECT_NOT_IN_PREREQUISITE_STATE = '55000';
const UNDEFINED_OBJECT = '42704';
/** Anew after a gap or a lost slot; a server that removes WAL faster than this can't be followed. */
const STARTS_MAX = 5;

export type ReceiverConnectionOptions = WalDestination & {
  readonly connection: ConnectionSettings;
  readonly slot: string;
  readonly applicationName: string;
  readonly spool: Spool;
  readonly spoolBytesMax: number;
  readonly storer: SpoolStorer;
  readonly progressIntervalMs: number;
  /** For each answer before a stream. */
  readonly answerMsMax: number;
  readonly onEvent: ReceiverProgress;
  readonly onStreaming: () => void;
  readonly onServerEnd: (end: Lsn) => void;
  readonly onFlushed: (lsn: Lsn) => void;
  readonly onIdle: (progress: ArchiveProgress) => Promise<void>;
  /** Per timeline, the segment before the first one to receive, from what repository and spool hold. */
  readonly lastHeldSegments: () => Promise<ReadonlyMap<number, bigint>>;
};

type Begin = {
  readonly history: TimelineHistory;
  readonly position: StartPosition;
  readonly identity: SystemIdentity;
};

export class ReceiverConnection {
  readonly #options: ReceiverConnectionOptions;
  readonly #signal: AbortSignal;
  #idle = new IdleWatch(false);

  /** @param signal ends it, also while an answer is waited for. */
  constructor(options: ReceiverConnectionOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** Receives until the server shuts down or the signal is aborted. */
  async run(): Promise<void> {
    const signal = this.#signal;
    const { connection, applicationName } = this.#options;
    const { session } = await openReplicationConnection(connection, {
      applicationName,
      forceApplicationName: true,
      reusesReads: true,
      signal,
    });
    const watch = setInterval(() => void this.#recordIdle(), this.#options.progressIntervalMs);
    try {
      await this.#follow(session);
    } finally {
      clearInterval(watch);
      await session.close();
    }
  }

  async #follow(session: Session): Promise<void> {
    const begin = await this.#prepare(session);
    const { identity } = begin;
    let { history, position } = begin;
    let startsLeft = STARTS_MAX;
    while (!this.#signal.aborted) {
      this.#leaveOthers(position);
      let end: WalStreamEnd;
      try {
        end = await this.#stream(session, position);
      } catch (error) {
        startsLeft -= 1;
        if (startsLeft === 0) throw error;
        position = await this.#recover(session, { history, position, identity }, error);
        continue;
      }
      if (end.reason !== 'timeline-end') return;
      history = await this.#storeHistories(session, end.nextTimeline);
      position = this.#switchTimeline(position, end);
    }
  }

  async #prepare(session: Session): Promise<Begin> {
    const identity = await this.#answer(identifySystem(session));
    this.#refuseForeign(identity, session);
    const isReadOnly = await this.#answer(showSetting(session, 'transaction_read_only'));
    this.#idle = new IdleWatch(isReadOnly === 'off');
    await this.#answer(ensureSlot(session, this.#options.slot));
    const history = await this.#storeHistories(session, identity.timeline);
    const position = await this.#decideStart(session, history, identity);
    return { identity, history, position };
  }

  /** Only what the server is asked: the repository has limits of its own, and may take longer. */
  async #answer<T>(asked: Promise<T>): Promise<T> {
    return answered(asked, { signal: this.#signal, limitMs: this.#options.answerMsMax });
  }

  #switchTimeline(
    { timeline: from }: StartPosition,
    { nextTimeline: to, nextTimelineStart: switchLsn }: WalStreamEnd & { reason: 'timeline-end' },
  ): StartPosition {
    this.#options.onEvent({ kind: 'timeline-switched', from, to, switchLsn });
    const number = segmentNumberAt(switchLsn, this.#segmentBytes);
    return { timeline: to, lsn: segmentStart(number, this.#segmentBytes) };
  }

  get #segmentBytes(): number {
    return this.#options.incarnation.walSegmentBytes;
  }

  #refuseForeign({ systemIdentifier }: SystemIdentity, session: Session): void {
    const { incarnation, server } = this.#options;
    const isKnown =
      systemIdentifier.toString() === incarnation.systemIdentifier &&
      session.majorVersion === incarnation.majorVersion;
    if (isKnown) return;
    const problem = new WalnutError(
      'foreign-system',
      `receive WAL of server ${server}: it is database system ${systemIdentifier}, PostgreSQL ${session.majorVersion}`,
    );
    throw explainForeign(problem, this.#options);
  }

  async #storeHistories(
    session: Session,
    timeline: SystemIdentity['timeline'],
  ): Promise<TimelineHistory> {
    const { onEvent } = this.#options;
    const read: HistoryReader = async (wanted) =>
      this.#answer(readTimelineHistory(session, wanted));
    return storeHistories(read, this.#options, { timeline, onEvent });
  }

  async #decideStart(
    session: Session,
    history: TimelineHistory,
    identity: SystemIdentity,
  ): Promise<StartPosition> {
    const { connection, slot } = this.#options;
    const last = await this.#options.lastHeldSegments();
    const asksSlot = last.size === 0;
    const slotLsn = asksSlot ? await this.#answer(slotPosition(session, slot, connection)) : null;
    return decideStart({
      history,
      segmentBytes: this.#segmentBytes,
      lastSegment: (timeline) => last.get(timeline) ?? null,
      slotLsn: slotLsn ?? identity.flushLsn,
    });
  }

  /** Unfinished segments other than the one that is received next have no more bytes to come. */
  #leaveOthers({ timeline, lsn }: StartPosition): void {
    const number = segmentNumberAt(lsn, this.#segmentBytes);
    const next = formatSegmentName({ timeline, number }, this.#segmentBytes);
    for (const { name } of this.#options.spool.partials) {
      if (name !== next) this.#options.storer.leave(name);
    }
  }

  async #stream(session: Session, { timeline, lsn: start }: StartPosition): Promise<WalStreamEnd> {
    const { slot, spool, spoolBytesMax, storer, onEvent, ...options } = this.#options;
    const memory = spool.memoryFor(timeline);
    const place = { start, timeline, slot };
    const stream = await this.#answer(
      startWalStream(session, { ...place, ...(memory === null ? {} : { memory }) }),
    );
    // A stream that begins at a switch point is over at once.
    if (stream.end !== null) return stream.end;
    onEvent({ kind: 'streaming', slot, timeline, start });
    options.onStreaming();
    const receiving = new ReceiverStream({
      stream,
      timeline,
      start,
      segmentBytes: this.#segmentBytes,
      spool,
      spoolBytesMax,
      storer,
      idle: this.#idle,
      onServerEnd: options.onServerEnd,
      onFull: (isFull) => {
        if (!isFull) return;
        const reason = `the WAL spool holds ${spoolBytesMax} bytes, its limit: nothing is received until the repository takes some`;
        onEvent({ kind: 'retrying', reason, delayMs: 0 });
      },
      onDurable: options.onFlushed,
      signal: this.#signal,
    });
    const end = await receiving.run();
    await spool.leave();
    return end;
  }

  /** What lets the next start work: over WAL that the server no longer has, or a slot that it gave up. */
  async #recover(session: Session, begin: Begin, error: unknown): Promise<StartPosition> {
    await this.#options.spool.abandon();
    if (hasCode(error, 'wal-gap')) return this.#recordGap(session, begin, error);
    if (!isSlotProblem(error)) throw error;
    await this.#renewSlot(session);
    return begin.position;
  }

  async #renewSlot(session: Session): Promise<void> {
    const { slot } = this.#options;
    await this.#answer(dropSlot(session, slot)).catch((error: unknown) => {
      if (sqlStateOf(error) !== UNDEFINED_OBJECT) throw error;
    });
    await this.#answer(ensureSlot(session, slot));
  }

  async #recordGap(
    session: Session,
    { history, identity, ...begin }: Begin,
    cause: WalnutError,
  ): Promise<StartPosition> {
    const { slot, connection, store, server, incarnation, onEvent } = this.#options;
    // Since the stream began whole segments may have come.
    const now = await this.#decideStart(session, history, identity);
    const position = now.lsn > begin.position.lsn ? now : begin.position;
    const slotLsn = await this.#answer(slotPosition(session, slot, connection));
    const search = findOldestSegment(session, {
      history,
      segmentBytes: this.#segmentBytes,
      missing: segmentNumberAt(position.lsn, this.#segmentBytes),
      present: segmentNumberAt(slotLsn ?? identity.flushLsn, this.#segmentBytes),
    });
    const found = await this.#answer(search);
    const place = {
      server,
      incarnation: nameOfIncarnation(incarnation),
      timeline: position.timeline,
    };
    const key = walKeys.gap(place, position.lsn, found.lsn);
    const reason = cause.message;
    const plain = Buffer.from(JSON.stringify({ version: 1, reason }));
    await putSealed(store, key, { kind: 'wal-gap', plain, level: 1 }).catch((error: unknown) => {
      if (!hasCode(error, 'object-exists')) throw error;
    });
    const { timeline } = position;
    onEvent({ kind: 'gap', timeline, start: position.lsn, end: found.lsn, reason });
    return found;
  }

  /** Idle time counts as covered only when all that was received is stored. */
  async #recordIdle(): Promise<void> {
    const progress = this.#idle.take();
    if (progress === null) return;
    const stored = this.#options.storer.storedEnd(progress.timeline);
    if (stored === null || stored < progress.lsn) return;
    // Only knowledge about the past: what can't be written now is written next time.
    await this.#options.onIdle(progress).catch(() => {});
  }
}

function isSlotProblem(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === OBJECT_NOT_IN_PREREQUISITE_STATE || state === UNDEFINED_OBJECT;
}
