/** Which pages changed between two points of stored WAL. */
import { hasCode, messageOf } from '../lib/walnut-error.ts';
import { formatLsn, minLsn, type Lsn } from '../postgres/lsn.ts';
import { ChangeChain, describeJoinProblem } from '../postgres/wal/change-chain.ts';
import type { ChangeMap } from '../postgres/wal/change-map.ts';
import type { ChangeSpan } from '../postgres/wal/change-span.ts';
import { recordPosition } from '../postgres/wal/page-header.ts';
import { describeUnusable, unusableWithin } from '../postgres/wal/unusable-wal.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { planChanges, type ChangeStep, type LsnSpan } from './change-plan.ts';
import { ChangeReader } from './segment-changes.ts';
import type { WalInventory } from './wal-inventory.ts';
import { followWal } from './wal-path.ts';

/**
 * - `known`: the map holds every change of the range, and perhaps more
 * - `gap`: WAL from `from` on is missing, damaged, does not join, or is not stored yet
 * - `unusable`: WAL is there, but does not tell everything that happened at `lsn`
 */
export type Changes =
  | { readonly kind: 'known'; readonly map: ChangeMap }
  | { readonly kind: 'gap'; readonly from: Lsn; readonly reason: string }
  | { readonly kind: 'unusable'; readonly lsn: Lsn; readonly reason: string };

/**
 * The changes of all records that begin in [from, to), both of them places where a record begins or may begin. Whoever
 * waits for WAL reads the inventory again after a `gap`.
 */
export async function readChanges(
  store: ObjectStore,
  inventory: WalInventory,
  request: LsnSpan & { readonly signal: AbortSignal },
): Promise<Changes> {
  const { from, to } = request;
  if (to < from) {
    const reason = `WAL goes backwards: ${formatLsn(to)} lies before ${formatLsn(from)}`;
    return { kind: 'unusable', lsn: to, reason };
  }
  const damaged = new Set<string>();
  for (;;) {
    const found = await new RangeReader(store, inventory, request).read(damaged);
    if (found !== null) return found;
  }
}

class RangeReader {
  readonly #inventory: WalInventory;
  readonly #span: LsnSpan & { readonly signal: AbortSignal };
  readonly #reader: ChangeReader;
  readonly #chain = new ChangeChain();

  constructor(
    store: ObjectStore,
    inventory: WalInventory,
    span: LsnSpan & { readonly signal: AbortSignal },
  ) {
    this.#inventory = inventory;
    this.#span = span;
    this.#reader = new ChangeReader(store, inventory);
  }

  /** Null when sealed changes turned out to be damaged: their key is then in `damaged`, and others must be chosen. */
  async read(damaged: Set<string>): Promise<Changes | null> {
    const { from, to, signal } = this.#span;
    let cutAt: Lsn | null;
    try {
      const plan = planChanges(this.#inventory, this.#span, damaged);
      ({ cutAt } = plan);
      for (const step of plan.steps) {
        signal.throwIfAborted();
        const next = await this.#readStep(step, damaged);
        if (next === null) return null;
        const problem = await this.#append(next);
        if (problem !== null) return problem;
      }
    } catch (error) {
      if (!hasCode(error, 'object-damaged', 'object-missing', 'wal-gap', 'target-unreachable')) {
        throw error;
      }
      return this.#gap(messageOf(error));
    }
    const known = this.#chain.completeTo ?? from;
    const complete = cutAt === null ? known : minLsn(known, cutAt);
    if (recordPosition(complete, this.#inventory.segmentBytes) < to) {
      return this.#gap(`WAL is stored only up to ${formatLsn(complete)}`, complete);
    }
    return { kind: 'known', map: this.#chain.map };
  }

  async #readStep(step: ChangeStep, damaged: Set<string>): Promise<ChangeSpan | null> {
    if (step.kind === 'sealed') {
      try {
        return await this.#reader.sealed(step.sealed);
      } catch (error) {
        // Damaged sealed changes cost time, not truth: the segments still say the same.
        if (!hasCode(error, 'object-damaged', 'object-missing', 'unsupported')) throw error;
        damaged.add(step.sealed.key);
        return null;
      }
    }
    const { segment, bounds, isCut } = step;
    if (bounds === null) return this.#reader.segment(segment);
    try {
      return await this.#reader.decoded(segment, bounds);
    } catch (error) {
      // What was noted of a damaged segment says too much here, which is no harm, unless a dead branch is in it.
      if (isCut || segment.open !== null || !hasCode(error, 'object-damaged')) throw error;
      return this.#reader.segment(segment);
    }
  }

  async #append(next: ChangeSpan): Promise<Changes | null> {
    const unusable = this.#unusable(next.unusable);
    if (unusable !== null) return unusable;
    let step = this.#chain.append(next);
    if (step.kind === 'needs-record') {
      const { lsn } = step;
      const { segments } = followWal(this.#inventory, { ...this.#span, from: lsn });
      const record = await this.#reader.record(lsn, segments);
      if (record === null) {
        return this.#gap(`the record at ${formatLsn(lsn)} cannot be read from WAL`, lsn);
      }
      step = this.#chain.append(next, record);
    }
    if (step.kind === 'broken') {
      const place = formatLsn(next.startLsn);
      return this.#gap(`WAL from ${place} on: ${describeJoinProblem(step.problem)}`);
    }
    return this.#unusable(this.#chain.unusable);
  }

  #unusable(reasons: ChangeSpan['unusable']): Changes | null {
    const found = unusableWithin(reasons, this.#span);
    if (found === null) return null;
    const { lsn, reason } = found;
    return { kind: 'unusable', lsn, reason: `${describeUnusable(reason)} (${formatLsn(lsn)})` };
  }

  #gap(reason: string, from: Lsn = this.#chain.completeTo ?? this.#span.from): Changes {
    return { kind: 'gap', from, reason };
  }
}
