/** Which parts of which frames of some packs any backup refers to. Positions are bytes of a frame's plain content. */
import { PAGE_BYTES } from '../repository/frame.ts';
import type { MapEntry } from '../repository/map-chunk.ts';

/** [begin, end). */
export type Stretch = { readonly begin: number; readonly end: number };

/** Stretches of a frame gathered before they are joined: backups that share a frame mostly name the same ones. */
const STRETCHES_MAX = 64;

export class LiveFrames {
  readonly #packs = new Map<string, Map<number, Stretch[]>>();

  /** @param packs keys of the packs to watch. */
  constructor(packs: Iterable<string>) {
    for (const key of packs) this.#packs.set(key, new Map());
  }

  add(entry: MapEntry): void {
    for (const { pack, frame, begin, end } of stretchesOf(entry)) {
      const frames = this.#packs.get(pack);
      if (frames === undefined) continue;
      const known = frames.get(frame);
      if (known === undefined) frames.set(frame, [{ begin, end }]);
      else if (known.length < STRETCHES_MAX) known.push({ begin, end });
      else frames.set(frame, joined([...known, { begin, end }]));
    }
  }

  /** By frame, ascending; each frame's stretches sorted, disjoint and apart from each other. */
  of(pack: string): Map<number, Stretch[]> {
    const frames = [...(this.#packs.get(pack) ?? [])];
    frames.sort(([one], [other]) => one - other);
    return new Map(frames.map(([frame, stretches]) => [frame, joined(stretches)]));
  }

  plainBytes(pack: string): number {
    const all = [...this.of(pack).values()].flat();
    return all.reduce((sum, { begin, end }) => sum + (end - begin), 0);
  }
}

type PlacedStretch = Stretch & { readonly pack: string; readonly frame: number };

function* stretchesOf(entry: MapEntry): Generator<PlacedStretch> {
  if (entry.kind === 'relation') {
    for (const { pack, frame, position, pages } of entry.extents) {
      const begin = position * PAGE_BYTES;
      yield { pack, frame, begin, end: begin + pages * PAGE_BYTES };
    }
  } else if (entry.kind === 'file') {
    for (const { pack, frame, position, bytes } of entry.extents) {
      yield { pack, frame, begin: position, end: position + bytes };
    }
  }
}

function joined(stretches: readonly Stretch[]): Stretch[] {
  const result: { begin: number; end: number }[] = [];
  for (const { begin, end } of stretches.toSorted((one, other) => one.begin - other.begin)) {
    const last = result.at(-1);
    if (last !== undefined && begin <= last.end) last.end = Math.max(last.end, end);
    else result.push({ begin, end });
  }
  return result;
}
