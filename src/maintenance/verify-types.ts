import type { BackupId } from '../repository/backup-id.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type VerifyOptions = {
  readonly store: ObjectStore;
  /** Servers of the repository to check; a name that the repository does not know is skipped. */
  readonly servers: readonly string[];
  /** Check only what this backup of the one server named needs. */
  readonly backup: BackupId | null;
  /** Share of the data that is read, the longest unchecked first; null for all. Manifests, maps and pack indexes are always read. */
  readonly samplePercent: number | null;
  /** Threads; 1 works in the caller's own. */
  readonly jobs: number;
  readonly now: Date;
};

export type VerifyPhase = 'backups' | 'packs' | 'maps' | 'wal';

/** Told to whoever watches; calls come often and must return quickly. */
export type VerifyProgress = {
  /** Bytes that will be read of one server, as far as its list of objects tells. */
  readonly planned: (bytes: number) => void;
  readonly phase: (server: string, phase: VerifyPhase) => void;
  readonly checked: (bytes: number) => void;
  /** As soon as it is found; what it affects is known at the end only. */
  readonly damageFound: (key: string, reason: string) => void;
};

export type DamagedObject = {
  readonly key: string;
  readonly reason: string;
  /** Backups that cannot be restored, or not as far as before. */
  readonly backups: readonly string[];
  /** What is lost with the object, for people: files, WAL ranges. */
  readonly affects: readonly string[];
};

export type VerifyReport = {
  readonly checkedObjects: number;
  readonly checkedBytes: number;
  /** In byte order of the keys. */
  readonly damaged: readonly DamagedObject[];
  /** Objects whose names mean nothing to this release; not damage. */
  readonly unexpected: readonly string[];
};
