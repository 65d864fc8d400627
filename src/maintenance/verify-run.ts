import type { CheckLanes } from './check-lanes.ts';
import type { DamageLedger } from './damage-ledger.ts';
import type { VerifyOptions, VerifyProgress } from './verify-types.ts';

/** One verification while it works. */
export type VerifyRun = {
  readonly options: VerifyOptions;
  readonly progress: VerifyProgress;
  readonly signal: AbortSignal;
  readonly ledger: DamageLedger;
  readonly lanes: CheckLanes;
  /** Whether a pack's frames or a WAL segment are in the sample. */
  readonly takes: (key: string) => boolean;
  readonly counts: { objects: number; bytes: number };
  readonly unexpected: string[];
};

export function countObject({ counts, progress }: VerifyRun, bytes: number): void {
  counts.objects += 1;
  counts.bytes += bytes;
  progress.checked(bytes);
}
