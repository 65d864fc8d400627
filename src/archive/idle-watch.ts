import type { ArchiveProgress } from '../catalog/archive-progress.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { msToPostgresTime } from '../postgres/wal/postgres-time.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';

/**
 * A commit takes its time before its WAL reaches the disk and is sent. A server that has had nothing new for longer than
 * this has no commit under way that is older.
 */
const MARGIN_MS = 5000;
/** Sightings kept: at one per status interval, a minute. */
const SIGHTINGS_MAX = 8;

type Sighting = { readonly timeline: TimelineId; readonly lsn: Lsn; readonly at: Date };

/**
 * Finds out up to which moment of the server's clock an idle archive is complete: the server's end of WAL was what we have,
 * and still was when it was seen again some seconds later.
 */
export class IdleWatch {
  readonly #isEnabled: boolean;
  #sightings: Sighting[] = [];
  #known: ArchiveProgress | null = null;

  /** @param isPrimary a standby's end of WAL says nothing about the commits of its primary. */
  constructor(isPrimary: boolean) {
    this.#isEnabled = isPrimary;
  }

  /** New WAL arrived. */
  moved(): void {
    this.#sightings = [];
  }

  /** The server said that its WAL ends where ours does. */
  seen(sighting: Sighting): void {
    if (!this.#isEnabled) return;
    const first = this.#sightings[0];
    if (first !== undefined && first.lsn !== sighting.lsn) this.#sightings = [];
    const proven = this.#sightings.findLast(
      ({ at }) => sighting.at.getTime() - at.getTime() >= MARGIN_MS,
    );
    if (proven !== undefined) {
      const { timeline, lsn, at } = proven;
      this.#known = { timeline, lsn, completeUs: msToPostgresTime(at.getTime()) };
    }
    this.#sightings = [...this.#sightings, sighting].slice(-SIGHTINGS_MAX);
  }

  /** What is new since the last call; null when nothing is. */
  take(): ArchiveProgress | null {
    const known = this.#known;
    this.#known = null;
    return known;
  }
}
