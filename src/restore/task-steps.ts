import { WalnutError } from '../lib/walnut-error.ts';
import type { IndexedFrame } from '../repository/pack-index.ts';
import type { PackIndex } from '../repository/pack-reader.ts';
import { explainDamage } from './damaged-parts.ts';
import { frameRanges } from './frame-ranges.ts';
import { ZERO_PAGES, type Placement } from './placement.ts';
import type { PackRange } from './range-shelf.ts';

/** Of a frame that is not to be read. */
export const NO_RANGE = -1;

/** A frame that a task needs. */
export type WantedFrame = {
  readonly key: string;
  readonly pack: string;
  readonly frame: IndexedFrame;
  /** Placements of the task that still need it. */
  uses: number;
  /** Plain bytes of it that the task needs. */
  usedBytes: number;
  /** Which of the ranges it lies in, or {@link NO_RANGE}. */
  range: number;
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
 * @param missing the parts of a placement that are to be written.
 */
export function stepsOf(
  placements: readonly Placement[],
  indexes: ReadonlyMap<string, PackIndex>,
  missing: (placement: Placement, frame: IndexedFrame) => readonly Placement[],
): TaskSteps {
  const steps: Step[] = [];
  const frames = new Map<string, WantedFrame>();
  for (const placement of placements) {
    if (placement.pack === ZERO_PAGES) {
      steps.push({ placement, wanted: null });
      continue;
    }
    const frame = frameOf(placement, indexes);
    requireInside(placement, frame);
    for (const part of missing(placement, frame)) {
      const key = `${placement.pack}:${frame.number}`;
      const wanted = frames.get(key) ?? wantFrame(key, placement.pack, frame);
      frames.set(key, wanted);
      wanted.uses += 1;
      wanted.usedBytes += part.bytes;
      steps.push({ placement: part, wanted });
    }
  }
  return { steps, frames: [...frames.values()] };
}

/** What is to be read of packs for these frames, in the order in which it is needed first; tells each frame its range. */
export function rangesOf(frames: readonly WantedFrame[]): readonly PackRange[] {
  const byPack = Map.groupBy(frames, ({ pack }) => pack);
  const firstNeed = new Map(frames.map((wanted, order) => [wanted.key, order]));
  const ranges: { range: PackRange; wanted: WantedFrame[]; need: number }[] = [];
  for (const [pack, group] of byPack) {
    const byNumber = new Map(group.map((wanted) => [wanted.frame.number, wanted]));
    const inOrder = group
      .map(({ frame }) => frame)
      .toSorted((first, second) => first.number - second.number);
    for (const range of frameRanges(inOrder)) {
      const wanted = range.frames.flatMap(({ number }) => byNumber.get(number) ?? []);
      const need = Math.min(...wanted.map(({ key }) => firstNeed.get(key) ?? 0));
      ranges.push({ range: { pack, range }, wanted, need });
    }
  }
  ranges.sort((first, second) => first.need - second.need);
  for (const [number, { wanted }] of ranges.entries()) {
    for (const each of wanted) each.range = number;
  }
  return ranges.map(({ range }) => range);
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

function wantFrame(key: string, pack: string, frame: IndexedFrame): WantedFrame {
  return { key, pack, frame, uses: 0, usedBytes: 0, range: NO_RANGE };
}

function frameOf(placement: Placement, indexes: ReadonlyMap<string, PackIndex>): IndexedFrame {
  const { pack, frame: number } = placement;
  const frame = indexes.get(pack)?.frames[number];
  if (frame !== undefined) return frame;
  const error = new WalnutError('object-damaged', `read pack ${pack}: it has no frame ${number}`, {
    details: { key: pack },
  });
  throw explainDamage(error, `frame ${number} of pack ${pack}`, [placement]);
}

function requireInside(placement: Placement, { plainBytes }: IndexedFrame): void {
  const { path, frameOffset, bytes, fileOffset, fileBytes } = placement;
  if (frameOffset + bytes <= plainBytes && fileOffset + bytes <= fileBytes) return;
  throw new WalnutError(
    'object-damaged',
    `restore ${path}: the backup's map names a place outside of its frame or file`,
    { hint: 'Restore another backup (`walnut list`).', details: { files: [path] } },
  );
}
