import type { WalVersion } from './wal-version.ts';

export const WAL_VERSION_15: WalVersion = {
  major: 15,
  pageMagic: 0xd110,
  pageFlagsAll: 0x000f,
  pageFlagOverwrite: 0x0008,
  resourceManagerMax: 21,
  customResourceManagers: true,
  recordBytesMax: 0x3fff_ffff,
  imageCompressedMask: 0x1c,
  imageCompressions: { pglz: 0x04, lz4: 0x08, zstd: 0x10 },
  imageApplied: 0x02,
  toplevelXid: true,
  databaseOperations: { createFileCopy: 0x00, createWalLog: 0x10, drop: 0x20 },
  droppedStatisticBytes: 12,
  checkpointWalLevel: false,
  checkpointRedo: false,
};
