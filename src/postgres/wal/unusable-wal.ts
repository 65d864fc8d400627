import { minLsn, maxLsn, type Lsn } from '../lsn.ts';

/** Why WAL does not tell everything that happened to relation files, and the words for it. */
const UNUSABLE_REASONS = {
  'special-record': 'a record changes relation files in a way that Walnut does not know',
  'unreadable-record': 'the block references of a record cannot be read',
  'minimal-wal': 'wal_level was minimal, so that not all changes were logged',
  'wal-reset': 'the write-ahead log begins anew there, as after pg_resetwal',
} as const;

export type UnusableReason = keyof typeof UNUSABLE_REASONS;

export const UNUSABLE_REASON_NAMES: readonly UnusableReason[] = Object.keys(
  UNUSABLE_REASONS,
) as UnusableReason[];

export type UnusableWal = {
  readonly reason: UnusableReason;
  /** The first and the last record that say so. */
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
};

export function describeUnusable(reason: UnusableReason): string {
  return UNUSABLE_REASONS[reason];
}

/** The reasons of a range; of each only the first and the last place, so that memory stays bounded. */
export class UnusableReasons {
  readonly #found = new Map<UnusableReason, UnusableWal>();

  add(reason: UnusableReason, firstLsn: Lsn, lastLsn: Lsn = firstLsn): void {
    const known = this.#found.get(reason);
    this.#found.set(reason, {
      reason,
      firstLsn: known === undefined ? firstLsn : minLsn(known.firstLsn, firstLsn),
      lastLsn: known === undefined ? lastLsn : maxLsn(known.lastLsn, lastLsn),
    });
  }

  merge(other: Iterable<UnusableWal>): void {
    for (const { reason, firstLsn, lastLsn } of other) this.add(reason, firstLsn, lastLsn);
  }

  /** In the order of their names' table. */
  list(): UnusableWal[] {
    return UNUSABLE_REASON_NAMES.flatMap((reason) => this.#found.get(reason) ?? []);
  }
}

/**
 * The first reason that touches [from, to); null when none does. What lies between the first and the last place of a
 * reason is not known, so a range there counts as touched.
 */
export function unusableWithin(
  reasons: readonly UnusableWal[],
  { from, to }: { readonly from: Lsn; readonly to: Lsn },
): { readonly reason: UnusableReason; readonly lsn: Lsn } | null {
  let first: { readonly reason: UnusableReason; readonly lsn: Lsn } | null = null;
  for (const { reason, firstLsn, lastLsn } of reasons) {
    if (lastLsn < from || firstLsn >= to) continue;
    const lsn = maxLsn(firstLsn, from);
    if (first === null || lsn < first.lsn) first = { reason, lsn };
  }
  return first;
}
