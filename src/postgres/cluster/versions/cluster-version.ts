import type { MajorVersion } from '../../version.ts';

/**
 * Offsets in `global/pg_control` of the fields that moved between versions. What stayed is in `control-file.ts`.
 * Source: `ControlFileData` in src/include/catalog/pg_control.h, compiled for x86-64.
 */
export type ControlFileLayout = {
  /** `PG_CONTROL_VERSION`. */
  readonly version: number;
  readonly minRecoveryPoint: number;
  /** The block that begins with wal_level. */
  readonly settings: number;
  /** The block that begins with blcksz. */
  readonly sizes: number;
  readonly dataChecksumVersion: number;
  /** Null before 18, which left it to the server's compiler. */
  readonly charSignedness: number | null;
  readonly crc: number;
};

/** What one major version's data directory has of its own. */
export type ClusterVersion = {
  readonly major: MajorVersion;
  /** `CATALOG_VERSION_NO` (src/include/catalog/catversion.h), the same in all releases of a major. */
  readonly catalogVersion: number;
  readonly controlFile: ControlFileLayout;
  /** Whether a backslash in a path is doubled in tablespace_map: from 14 on. 13 escapes line ends alone. */
  readonly escapesBackslash: boolean;
  /** Folders below pg_wal that must exist, though what is in them is not backed up. */
  readonly walFolders: readonly string[];
};

/** 13 to 16. */
export const CONTROL_FILE_1300: ControlFileLayout = {
  version: 1300,
  minRecoveryPoint: 136,
  settings: 172,
  sizes: 216,
  dataChecksumVersion: 252,
  charSignedness: null,
  crc: 288,
};
