/** A path as it came, and as text. PostgreSQL does not care which encoding a file's name has. */
export type PathText = {
  /** Read as UTF-8, with U+FFFD for what is none. */
  readonly path: string;
  /** The path's own bytes when they are not UTF-8; null when `path` says it all. */
  readonly rawPath: Buffer | null;
};

/** Reads a path's bytes, which are copied when they are not UTF-8. */
export function pathText(bytes: Uint8Array): PathText {
  const raw = Buffer.from(bytes);
  const path = raw.toString('utf8');
  return { path, rawPath: Buffer.from(path, 'utf8').equals(raw) ? null : raw };
}
