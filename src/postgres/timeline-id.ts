declare const timelineBrand: unique symbol;

/** The number of a timeline: 1 for a new cluster, one more than any known for each promotion. */
export type TimelineId = number & { readonly [timelineBrand]: true };

export function toTimelineId(value: number): TimelineId {
  if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff) {
    throw new RangeError(`timeline ${value} is out of range`);
  }
  return value as TimelineId;
}

/** The eight hexadecimal digits with which file names begin. */
export function formatTimelineId(timeline: TimelineId): string {
  return timeline.toString(16).toUpperCase().padStart(8, '0');
}
