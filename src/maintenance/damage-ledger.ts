import type { DamagedObject } from './verify-types.ts';

/** Blocks of a relation's file, both ends included. */
export type BlockRange = { readonly firstBlock: number; readonly lastBlock: number };

type Place = string | BlockRange;

/** Beyond this many, a person is better served by the number of them. */
const AFFECTS_MAX = 40;
const PLACES_MAX = 8;

type Entry = {
  readonly reason: string;
  readonly backups: Set<string>;
  /** What is affected, and where in it: a file and its block ranges. */
  readonly affects: Map<string, Map<string, Place>>;
  notListed: number;
};

/** Collects damage by object: why, which backups it hits, and what is lost. */
export class DamageLedger {
  readonly #entries = new Map<string, Entry>();
  readonly #onFound: (key: string, reason: string) => void;

  constructor(onFound: (key: string, reason: string) => void) {
    this.#onFound = onFound;
  }

  /** Whether any object below a prefix is damaged. */
  mentions(prefix: string): boolean {
    return [...this.#entries.keys()].some((key) => key.startsWith(prefix));
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The first reason given for an object stands. */
  add(key: string, reason: string): void {
    if (this.#entries.has(key)) return;
    this.#entries.set(key, { reason, backups: new Set(), affects: new Map(), notListed: 0 });
    this.#onFound(key, reason);
  }

  /** Adds to a damaged object whom it hits, what is lost and, of that, where. */
  hit(key: string, backups: Iterable<string>, lost?: { what: string; where?: Place }): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    for (const backup of backups) entry.backups.add(backup);
    if (lost === undefined) return;
    const places = entry.affects.get(lost.what) ?? new Map<string, Place>();
    if (places.size === 0 && !entry.affects.has(lost.what)) {
      if (entry.affects.size >= AFFECTS_MAX) {
        entry.notListed += 1;
        return;
      }
      entry.affects.set(lost.what, places);
    }
    if (lost.where !== undefined) places.set(textOf(lost.where), lost.where);
  }

  report(): DamagedObject[] {
    return [...this.#entries]
      .toSorted(([first], [second]) => (first < second ? -1 : 1))
      .map(([key, { reason, backups, affects, notListed }]) => ({
        key,
        reason,
        backups: [...backups].toSorted(),
        affects: [
          ...[...affects].map(([what, places]) => describe(what, [...places.values()])),
          ...(notListed === 0 ? [] : [`and ${notListed} more`]),
        ],
      }));
  }
}

function describe(what: string, given: readonly Place[]): string {
  const blocks = joined(given.filter((place) => typeof place !== 'string'));
  const others = given.filter((place) => typeof place === 'string');
  const places = [...blocks.map(textOf), ...others];
  if (places.length === 0) return what;
  const shown = places.slice(0, PLACES_MAX).join(', ');
  return places.length > PLACES_MAX
    ? `${what}: ${shown} and ${places.length - PLACES_MAX} more places`
    : `${what}: ${shown}`;
}

/** Several backups share a frame, and each refers to the blocks that it still has of it. */
function joined(ranges: readonly BlockRange[]): BlockRange[] {
  const result: BlockRange[] = [];
  for (const range of ranges.toSorted((one, other) => one.firstBlock - other.firstBlock)) {
    const last = result.at(-1);
    if (last === undefined || range.firstBlock > last.lastBlock + 1) {
      result.push(range);
    } else {
      const lastBlock = Math.max(last.lastBlock, range.lastBlock);
      result.splice(-1, 1, { firstBlock: last.firstBlock, lastBlock });
    }
  }
  return result;
}

function textOf(place: Place): string {
  if (typeof place === 'string') return place;
  const { firstBlock, lastBlock } = place;
  return firstBlock === lastBlock ? `block ${firstBlock}` : `blocks ${firstBlock}–${lastBlock}`;
}
