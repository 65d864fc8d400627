import { CONTROL_FILE_1300, type ClusterVersion } from './cluster-version.ts';

export const POSTGRESQL_16: ClusterVersion = {
  major: 16,
  catalogVersion: 202307071,
  controlFile: CONTROL_FILE_1300,
  escapesBackslash: true,
  walFolders: ['archive_status'],
};
