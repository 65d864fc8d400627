import type { MajorVersion } from '../../version.ts';

/**
 * What differs between the WAL of two major versions. Everything else in this folder is the same for 13 to 18.
 * Sources: src/include/access/{xlog_internal,xlogrecord,xlogreader,xact,rmgrlist}.h and
 * src/include/commands/dbcommands_xlog.h of each branch.
 */
export type WalVersion = {
  readonly major: MajorVersion;
  /** `XLOG_PAGE_MAGIC`, the first two bytes of every page. */
  readonly pageMagic: number;
  /** `XLP_ALL_FLAGS`: a page with any other flag is not WAL of this version. */
  readonly pageFlagsAll: number;
  /** `XLP_FIRST_IS_OVERWRITE_CONTRECORD`. */
  readonly pageFlagOverwrite: number;
  /** `RM_MAX_ID` of the resource managers built into the server. */
  readonly resourceManagerMax: number;
  /** Whether 128 to 255 are resource managers of extensions. */
  readonly customResourceManagers: boolean;
  /** The longest record that the server would read. */
  readonly recordBytesMax: number;
  /** `BKPIMAGE_…` bits of `bimg_info` that mean a compressed image. */
  readonly imageCompressedMask: number;
  /** Each of them; 0 for a method that the version does not have. */
  readonly imageCompressions: {
    readonly pglz: number;
    readonly lz4: number;
    readonly zstd: number;
  };
  /** `BKPIMAGE_APPLY`. */
  readonly imageApplied: number;
  /** Whether `XLR_BLOCK_ID_TOPLEVEL_XID` (252) occurs. */
  readonly toplevelXid: boolean;
  /** `info & 0xF0` of the Database resource manager. */
  readonly databaseOperations: {
    readonly createFileCopy: number;
    readonly createWalLog: number | undefined;
    readonly drop: number;
  };
  /** Size of `xl_xact_stats_item`; 0 where commits carry no dropped statistics. */
  readonly droppedStatisticBytes: number;
  /** Whether checkpoints and ends of recovery tell `wal_level`. */
  readonly checkpointWalLevel: boolean;
  /** Whether checkpoints begin with a `CHECKPOINT_REDO` record. */
  readonly checkpointRedo: boolean;
};
