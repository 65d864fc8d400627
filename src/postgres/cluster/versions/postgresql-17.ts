import { CONTROL_FILE_1300, type ClusterVersion } from './cluster-version.ts';

export const POSTGRESQL_17: ClusterVersion = {
  major: 17,
  catalogVersion: 202406281,
  // wal_level joined the checkpoint copy where 1300 had padding, so nothing else moved.
  controlFile: { ...CONTROL_FILE_1300, version: 1700 },
  escapesBackslash: true,
  walFolders: ['archive_status', 'summaries'],
};
