import { join } from 'node:path';
import type { IncarnationName } from '../repository/layout.ts';

export type SpoolPlace = {
  /** The configured folder. */
  readonly folder: string;
  readonly incarnation: IncarnationName;
};

/** Names inside a spool: a folder per incarnation, a file per segment. */
export function spoolPaths({ folder, incarnation }: SpoolPlace): {
  readonly folder: string;
  readonly complete: (segment: string) => string;
  readonly partial: (segment: string) => string;
} {
  const inside = join(folder, incarnation);
  return {
    folder: inside,
    complete: (segment) => join(inside, segment),
    partial: (segment) => join(inside, `${segment}.partial`),
  };
}
