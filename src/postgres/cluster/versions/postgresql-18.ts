import { CONTROL_FILE_1300, type ClusterVersion } from './cluster-version.ts';

export const POSTGRESQL_18: ClusterVersion = {
  major: 18,
  catalogVersion: 202506291,
  controlFile: { ...CONTROL_FILE_1300, version: 1800, charSignedness: 256, crc: 292 },
  escapesBackslash: true,
  walFolders: ['archive_status', 'summaries'],
};
