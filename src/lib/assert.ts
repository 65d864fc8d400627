/** States an internal invariant. A failure is a bug in Walnut, never the user's mistake. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`internal invariant broken: ${message}`);
}

/** Returns `value`, which the caller knows to be present. */
export function must<T>(value: T | null | undefined, message: string): T {
  assert(value !== null && value !== undefined, message);
  return value;
}
