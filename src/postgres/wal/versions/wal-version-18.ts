import type { WalVersion } from './wal-version.ts';

export const WAL_VERSION_18: WalVersion = {
  major: 18,
  pageMagic: 0xd118,
  pageFlagsAll: 0x000f,
  pageFlagOverwrite: 0x0008,
  resourceManagerMax: 21,
  customResourceManagers: true,
  recordBytesMax: 1020 * 1024 * 1024,
  imageCompressedMask: 0x1c,
  toplevelXid: true,
  databaseOperations: { createFileCopy: 0x00, createWalLog: 0x10, drop: 0x20 },
  droppedStatisticBytes: 16,
  checkpointRedo: true,
};
