import { CONTROL_FILE_1300, type ClusterVersion } from './cluster-version.ts';

export const POSTGRESQL_14: ClusterVersion = {
  major: 14,
  catalogVersion: 202107181,
  controlFile: CONTROL_FILE_1300,
  escapesBackslash: true,
  walFolders: ['archive_status'],
};
