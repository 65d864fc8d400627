/** The steps of a restore, in the order in which they happen. */
export type RestorePhase =
  | 'prove'
  | 'prepare'
  | 'delete'
  | 'place'
  | 'settle'
  | 'wal'
  | 'configure'
  | 'finish';

/** What a restore tells while it runs; the engine itself never prints. Calls are synchronous and must not throw. */
export type RestoreProgress = {
  phaseBegan(phase: RestorePhase): void;
  /** Bytes written, or found right, so far and in all; called a few times a second at most per worker. */
  placed(placedBytes: number, totalBytes: number): void;
};

export const SILENT_PROGRESS: RestoreProgress = {
  phaseBegan: () => {},
  placed: () => {},
};
