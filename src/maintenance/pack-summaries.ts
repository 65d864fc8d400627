import type { PackIndex } from '../repository/pack-reader.ts';
import { readPackIndex } from '../repository/pack-reader.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { PAGE_BYTES } from '../repository/frame.ts';
import type { FrameRun } from '../repository/pack-index.ts';

/** Runs held over all packs; one takes about 200 bytes. Maps are read in the order in which packs were written. */
const RUNS_MAX = 250_000;

/** A stretch of a frame's plain content: bytes [begin, end) are from byte `from` of the file on. */
type HeldRun = {
  readonly path: string;
  readonly kind: FrameRun['kind'];
  readonly from: number;
  readonly begin: number;
  readonly end: number;
};

export type PackSummary = {
  readonly frames: readonly (readonly HeldRun[])[];
  readonly runCount: number;
};

/** A stretch of a file, and where the map says that it lies. Bytes throughout. */
export type Claim = {
  readonly kind: FrameRun['kind'];
  readonly path: string;
  readonly from: number;
  readonly length: number;
  readonly frame: number;
  /** In the frame's plain content. */
  readonly position: number;
};

/** What the frames of packs hold, read from their indexes when asked for, the last used ones kept. */
export class PackSummaries {
  readonly #store: ObjectStore;
  readonly #held = new Map<string, PackSummary>();
  #runs = 0;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** Throws what {@link readPackIndex} throws. */
  async of(key: string): Promise<PackSummary> {
    const known = this.#held.get(key);
    const summary = known ?? summarize(await readPackIndex(this.#store, key));
    if (known !== undefined) this.#held.delete(key);
    else this.#runs += summary.runCount;
    this.#held.set(key, summary);
    for (const [oldest, { runCount }] of this.#held) {
      if (this.#runs <= RUNS_MAX || oldest === key) break;
      this.#held.delete(oldest);
      this.#runs -= runCount;
    }
    return summary;
  }
}

/** Why the pack does not hold what a map claims of it; null when it does. */
export function contradiction(summary: PackSummary, claim: Claim): string | null {
  const { frame, position, path } = claim;
  const runs = summary.frames[frame];
  if (runs === undefined) return `it has no frame ${frame}, which should hold ${path}`;
  const end = position + claim.length;
  const run = runs.find((candidate) => candidate.begin <= position && end <= candidate.end);
  if (run === undefined) return `frame ${frame} holds no ${claim.length} bytes at ${position}`;
  const isSame =
    run.path === path &&
    run.kind === claim.kind &&
    run.from + (position - run.begin) === claim.from;
  return isSame ? null : `frame ${frame} holds ${run.path} where ${path} should lie`;
}

function summarize(index: PackIndex): PackSummary {
  let runCount = 0;
  const frames = index.frames.map(({ runs }) => {
    runCount += runs.length;
    const pages = placed(runs, { kind: 'pages', begin: 0, unit: PAGE_BYTES });
    const begin = pages.at(-1)?.end ?? 0;
    return [...pages, ...placed(runs, { kind: 'bytes', begin, unit: 1 })];
  });
  return { frames, runCount };
}

/**
 * Pages stand before bytes, each in the order of their runs (docs/repository-format.md, "Frame"). Runs that continue
 * each other count as one: an extent may reach over both.
 */
function placed(
  runs: readonly FrameRun[],
  part: { readonly kind: FrameRun['kind']; readonly begin: number; readonly unit: number },
): HeldRun[] {
  const held: HeldRun[] = [];
  let at = part.begin;
  for (const { kind, path, from, length } of runs) {
    if (kind !== part.kind) continue;
    const run = { path, kind, from: from * part.unit, begin: at, end: at + length * part.unit };
    at = run.end;
    const last = held.at(-1);
    if (last?.path === path && last.from + last.end - last.begin === run.from) {
      held[held.length - 1] = { ...last, end: run.end };
    } else {
      held.push(run);
    }
  }
  return held;
}
