import type { BenchCluster } from '../bench-cluster.ts';

export type Attempt = {
  readonly cluster: BenchCluster;
  /** Owned by the server's user; repository and configuration of this contender go here. */
  readonly folder: string;
  readonly level: number;
  readonly jobs: number;
};

export type PreparedCommand = {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
};

type BackupKind = 'full' | 'incremental';

/** One program that backs up and restores. What is prepared is not measured, what the commands do is. */
export type Contender = {
  readonly name: string;
  readonly version: string;
  /** How it was set up, for the report. */
  readonly setUp: string;
  /** Makes repository and configuration. */
  prepare(attempt: Attempt): Promise<void>;
  /** For archive_command. */
  archiveCommand(attempt: Attempt): string;
  /** Null when it has no backups of this kind. */
  backup(attempt: Attempt, kind: BackupKind): PreparedCommand | null;
  /** Restores the newest backup into `target`, an empty folder of mode 700. */
  restore(attempt: Attempt, target: string): PreparedCommand;
  /** Folder whose content counts as stored, WAL left out. */
  storedFolder(attempt: Attempt): string;
  /** Other commands worth their time, by what they do. */
  readonly extras?: Readonly<Record<string, (attempt: Attempt, target: string) => PreparedCommand>>;
  /** Receives WAL through a slot of that name until it is interrupted. */
  receive?(attempt: Attempt): PreparedCommand & { readonly slot: string };
  /** Stores a WAL file that was archived while another contender had its turn. */
  takeWal?(attempt: Attempt, path: string): PreparedCommand;
};
