import { frameSpan } from '../repository/pack-reader.ts';
import type { TableFrame } from './frame-table.ts';

/** A stretch of a pack that is read at once. */
export type FrameRange = {
  readonly offset: number;
  readonly length: number;
  readonly frames: readonly TableFrame[];
};

/** One read: large enough that a seek or a request costs little, small enough for a buffer per worker. */
const READ_BYTES_MAX: number = 1024 * 1024;
/** A hole of dead frames up to this length is read along: that costs less than another request. */
const HOLE_BYTES_MAX: number = 128 * 1024;

/** Groups frames, given in order of their offsets, into ranges. A frame longer than the limit makes a range of its own. */
export function frameRanges(
  frames: readonly TableFrame[],
  limits: { readonly readBytesMax?: number; readonly holeBytesMax?: number } = {},
): FrameRange[] {
  const { readBytesMax = READ_BYTES_MAX, holeBytesMax = HOLE_BYTES_MAX } = limits;
  const ranges: { offset: number; length: number; frames: TableFrame[] }[] = [];
  for (const frame of frames) {
    const end = frame.offset + frameSpan(frame);
    const last = ranges.at(-1);
    const fits =
      last !== undefined &&
      frame.offset - (last.offset + last.length) <= holeBytesMax &&
      end - last.offset <= readBytesMax;
    if (fits) {
      last.frames.push(frame);
      last.length = end - last.offset;
    } else {
      ranges.push({ offset: frame.offset, length: frameSpan(frame), frames: [frame] });
    }
  }
  return ranges;
}
