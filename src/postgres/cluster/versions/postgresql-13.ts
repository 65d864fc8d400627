import { CONTROL_FILE_1300, type ClusterVersion } from './cluster-version.ts';

export const POSTGRESQL_13: ClusterVersion = {
  major: 13,
  catalogVersion: 202007201,
  controlFile: CONTROL_FILE_1300,
  escapesBackslash: false,
  walFolders: ['archive_status'],
};
