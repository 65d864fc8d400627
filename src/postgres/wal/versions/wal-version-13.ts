import type { WalVersion } from './wal-version.ts';

export const WAL_VERSION_13: WalVersion = {
  major: 13,
  pageMagic: 0xd106,
  pageFlagsAll: 0x000f,
  pageFlagOverwrite: 0x0008,
  resourceManagerMax: 21,
  customResourceManagers: false,
  recordBytesMax: 0x3fff_ffff,
  imageCompressedMask: 0x02,
  imageCompressions: { pglz: 0x02, lz4: 0, zstd: 0 },
  imageApplied: 0x04,
  toplevelXid: false,
  databaseOperations: { createFileCopy: 0x00, createWalLog: undefined, drop: 0x10 },
  droppedStatisticBytes: 0,
  checkpointWalLevel: false,
  checkpointRedo: false,
};
