import type { WalVersion } from './wal-version.ts';

export const WAL_VERSION_16: WalVersion = {
  major: 16,
  pageMagic: 0xd113,
  pageFlagsAll: 0x000f,
  pageFlagOverwrite: 0x0008,
  resourceManagerMax: 21,
  customResourceManagers: true,
  recordBytesMax: 1020 * 1024 * 1024,
  imageCompressedMask: 0x1c,
  imageCompressions: { pglz: 0x04, lz4: 0x08, zstd: 0x10 },
  imageApplied: 0x02,
  toplevelXid: true,
  databaseOperations: { createFileCopy: 0x00, createWalLog: 0x10, drop: 0x20 },
  droppedStatisticBytes: 12,
  checkpointWalLevel: false,
  checkpointRedo: false,
};
