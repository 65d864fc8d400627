import type { MajorVersion } from '../version.ts';
import type { ClusterVersion } from './versions/cluster-version.ts';
import { POSTGRESQL_13 } from './versions/postgresql-13.ts';
import { POSTGRESQL_14 } from './versions/postgresql-14.ts';
import { POSTGRESQL_15 } from './versions/postgresql-15.ts';
import { POSTGRESQL_16 } from './versions/postgresql-16.ts';
import { POSTGRESQL_17 } from './versions/postgresql-17.ts';
import { POSTGRESQL_18 } from './versions/postgresql-18.ts';

export const CLUSTER_VERSIONS: Readonly<Record<MajorVersion, ClusterVersion>> = {
  13: POSTGRESQL_13,
  14: POSTGRESQL_14,
  15: POSTGRESQL_15,
  16: POSTGRESQL_16,
  17: POSTGRESQL_17,
  18: POSTGRESQL_18,
};

/**
 * The folder inside a tablespace that holds one version's files, such as `PG_18_202506291`. After pg_upgrade that of
 * another version may stand beside it, which is not part of the cluster.
 */
export function tablespaceVersionFolder(major: MajorVersion): string {
  return `PG_${major}_${CLUSTER_VERSIONS[major].catalogVersion}`;
}
