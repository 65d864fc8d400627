import type { Incarnation } from '../repository/repository.ts';

/** How the WAL that a backup needs comes into the repository. */
export type WalSupply = {
  /**
   * Called before the backup starts. Answers null when WAL arrives by other means (a receiver holds the server's WAL
   * lease, or `archive_command` pushes), otherwise a running receiver that begins before the backup's start.
   */
  begin(incarnation: Incarnation, signal: AbortSignal): Promise<RunningSupply | null>;
  /** Whether it is the server's archiver that brings WAL between backups. */
  readonly isArchiver: boolean;
  /** What to do when WAL does not come: the hint of the error. */
  readonly hint: string;
};

export type RunningSupply = {
  /** Rejects as soon as the receiver fails for good. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
};
