import { CONTROL_FILE_1300, type ClusterVersion } from './cluster-version.ts';

export const POSTGRESQL_15: ClusterVersion = {
  major: 15,
  catalogVersion: 202209061,
  controlFile: CONTROL_FILE_1300,
  escapesBackslash: true,
  walFolders: ['archive_status'],
};
