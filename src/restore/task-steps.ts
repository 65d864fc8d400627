import { WalnutError } from '../lib/walnut-error.ts';
import { explainDamage } from './damaged-parts.ts';
import { frameRanges } from './frame-ranges.ts';
import type { HeldFrame } from './frame-shelf.ts';
import type { FrameTable, TableFrame } from './frame-table.ts';
import { ZERO_PAGES, type Placement } from './placement.ts';
import type { PackRange } from './range-shelf.ts';

/**
 * How many other frames may be needed between two that are read together: with all of them in one read a chain of ten
 * reads a fifth twice, with few each frame is a read of its own.
 */
const NEED_DISTANCE_MAX = 256;

/** Of a frame that is not to be read. */
export const NO_RANGE = -1;

/** A frame that a task needs. */
export type WantedFrame = {
  readonly key: string;
  readonly pack: string;
  readonly frame: TableFrame;
  /** Placements of the task that still need it. */
  uses: number;
  /** Plain bytes of it that the task needs. */
  usedBytes: number;
  /** Which of the ranges it lies in, or {@link NO_RANGE}. */
  range: number;
  /** Where it was found opened, or was put since; it may have made room. */
  held: HeldFrame | null;
};

/** One place to be written; null for zero pages. */
export type Step = { readonly placement: Placement; readonly wanted: WantedFrame | null };

export type TaskSteps = {
  /** In the order of the target's files. */
  readonly steps: readonly Step[];
  readonly frames: readonly WantedFrame[];
};

/**
 * Joins placements with the frames that hold their content.
 * @param missing the parts that are to be written of a placement which is compared first.
 */
export function stepsOf(
  placements: readonly Placement[],
  indexes: ReadonlyMap<string, FrameTable>,
  missing: (placement: Placement, frame: TableFrame) => readonly Placement[],
): TaskSteps {
  const steps: Step[] = [];
  const frames = new WantedFrames(indexes);
  for (const placement of placements) {
    if (placement.pack === ZERO_PAGES) {
      steps.push({ placement, wanted: null });
      continue;
    }
    const holder = frames.holderOf(placement);
    requireInside(placement, holder.frame);
    if (!placement.compare) {
      steps.push({ placement, wanted: frames.want(holder, placement) });
      continue;
    }
    for (const part of missing(placement, holder.frame)) {
      steps.push({ placement: part, wanted: frames.want(holder, part) });
    }
  }
  return { steps, frames: frames.wanted };
}

/**
 * What is to be read of packs for these frames, in the order in which it is needed first; tells each frame its range.
 * Neighbours in a pack of which one is needed much later are read apart: what waits for its turn fills the memory.
 */
export function rangesOf(frames: readonly WantedFrame[]): readonly PackRange[] {
  const byPack = Map.groupBy(frames, ({ pack }) => pack);
  const firstNeed = new Map(frames.map((wanted, order) => [wanted.key, order]));
  const ranges: { range: PackRange; wanted: WantedFrame[]; need: number }[] = [];
  for (const [pack, group] of byPack) {
    const byNumber = new Map(group.map((wanted) => [wanted.frame.number, wanted]));
    const inOrder = group.toSorted((first, second) => first.frame.number - second.frame.number);
    const needOf = ({ key }: WantedFrame): number => firstNeed.get(key) ?? 0;
    for (const near of runsOfNearNeed(inOrder, needOf)) {
      for (const range of frameRanges(near.map(({ frame }) => frame))) {
        const wanted = range.frames.flatMap(({ number }) => byNumber.get(number) ?? []);
        const need = Math.min(...wanted.map(needOf));
        ranges.push({ range: { pack, range }, wanted, need });
      }
    }
  }
  ranges.sort((first, second) => first.need - second.need);
  for (const [number, { wanted }] of ranges.entries()) {
    for (const each of wanted) each.range = number;
  }
  return ranges.map(({ range }) => range);
}

function runsOfNearNeed(
  frames: readonly WantedFrame[],
  needOf: (wanted: WantedFrame) => number,
): WantedFrame[][] {
  const runs: WantedFrame[][] = [];
  let begin = 0;
  for (const wanted of frames) {
    const need = needOf(wanted);
    const run = runs.at(-1);
    if (run !== undefined && Math.abs(need - begin) <= NEED_DISTANCE_MAX) {
      run.push(wanted);
      continue;
    }
    runs.push([wanted]);
    begin = need;
  }
  return runs;
}

/**
 * How many steps from `first` on fill, without a gap, the stretch of the file that the frame of the first one holds as it
 * was then: pages of the frame itself, and between them later ones of others. 0 where they do not.
 */
export function stepsOverFrame(steps: readonly Step[], first: number): number {
  const start = steps[first];
  if (start === undefined || start.wanted === null || start.placement.frameOffset !== 0) return 0;
  const { placement, wanted } = start;
  const end = placement.fileOffset + wanted.frame.plainBytes;
  if (end > placement.fileBytes) return 0;
  let at = placement.fileOffset;
  let uses = 0;
  let count = 0;
  while (at < end) {
    const step = steps[first + count];
    if (step === undefined || !isPieceAt(step, start, at)) return 0;
    if (step.wanted === wanted) uses += 1;
    at += step.placement.bytes;
    count += 1;
  }
  return at === end && uses === wanted.uses ? count : 0;
}

/** Whether a step has the bytes at `at` of the file: out of some frame, and out of that of `start` at their old place. */
function isPieceAt({ placement, wanted }: Step, start: Step, at: number): boolean {
  const { path, fileOffset, frameOffset } = placement;
  if (wanted === null || path !== start.placement.path || fileOffset !== at) return false;
  return wanted !== start.wanted || frameOffset === at - start.placement.fileOffset;
}

/** The frames of one task. */
class WantedFrames {
  /** In the order of their first need. */
  readonly wanted: WantedFrame[] = [];
  readonly #indexes: ReadonlyMap<string, FrameTable>;
  /** By pack, then by number: a key for every step would be a text for every page. */
  readonly #known = new Map<string, Map<number, WantedFrame>>();

  constructor(indexes: ReadonlyMap<string, FrameTable>) {
    this.#indexes = indexes;
  }

  /** The frame that holds the content of a placement, wanted or not. */
  holderOf(placement: Placement): WantedFrame {
    const { pack, frame: number } = placement;
    const ofPack = this.#known.get(pack) ?? new Map<number, WantedFrame>();
    if (ofPack.size === 0) this.#known.set(pack, ofPack);
    const known = ofPack.get(number);
    if (known !== undefined) return known;
    const frame = this.#indexes.get(pack)?.frame(number) ?? noSuchFrame(placement);
    const key = `${pack}:${number}`;
    const added = { key, pack, frame, uses: 0, usedBytes: 0, range: NO_RANGE, held: null };
    ofPack.set(number, added);
    return added;
  }

  want(holder: WantedFrame, { bytes }: Placement): WantedFrame {
    if (holder.uses === 0) this.wanted.push(holder);
    holder.uses += 1;
    holder.usedBytes += bytes;
    return holder;
  }
}

function noSuchFrame(placement: Placement): never {
  const { pack, frame: number } = placement;
  const error = new WalnutError('object-damaged', `read pack ${pack}: it has no frame ${number}`, {
    details: { key: pack },
  });
  throw explainDamage(error, `frame ${number} of pack ${pack}`, [placement]);
}

function requireInside(placement: Placement, { plainBytes }: TableFrame): void {
  const { path, frameOffset, bytes, fileOffset, fileBytes } = placement;
  if (frameOffset + bytes <= plainBytes && fileOffset + bytes <= fileBytes) return;
  throw new WalnutError(
    'object-damaged',
    `restore ${path}: the backup's map names a place outside of its frame or file`,
    { hint: 'Restore another backup (`walnut list`).', details: { files: [path] } },
  );
}
