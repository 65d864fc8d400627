import type { BenchCluster } from '../bench-cluster.ts';

export type Attempt = {
  readonly cluster: BenchCluster;
  /** Empty, owned by the server's user. */
  readonly folder: string;
  readonly level: number;
  readonly jobs: number;
};

export type PreparedCommand = {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
};

/** One program that backs up and restores. What is prepared is not measured, what the commands do is. */
export type Contender = {
  readonly name: string;
  readonly version: string;
  /** How it was set up, for the report. */
  readonly setUp: string;
  /** Makes repository and configuration, sets archive_command, and answers the command of the backup. */
  prepareBackup(attempt: Attempt): Promise<PreparedCommand>;
  /** The command that restores what the backup stored into `target`, an empty folder of mode 700. */
  prepareRestore(attempt: Attempt, target: string): Promise<PreparedCommand>;
  /** Folder whose content counts as stored, WAL left out. */
  storedFolder(attempt: Attempt): string;
};
