import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c } from '../../src/lib/hashing.ts';
import { CLUSTER_VERSIONS } from '../../src/postgres/cluster/cluster-versions.ts';
import { CONTROL_FILE_PATH } from '../../src/postgres/cluster/control-file.ts';
import type { ControlFileLayout } from '../../src/postgres/cluster/versions/cluster-version.ts';
import type { TestCluster } from './cluster.ts';

/** Changes pg_control of a stopped cluster, whose checksum is put right, and answers the new bytes. */
export async function changeControlFile(
  { dataFolder, major }: TestCluster,
  change: (bytes: Buffer, layout: ControlFileLayout) => void,
): Promise<Buffer> {
  const path = join(dataFolder, CONTROL_FILE_PATH);
  const bytes = await readFile(path);
  const layout = CLUSTER_VERSIONS[major].controlFile;
  change(bytes, layout);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, layout.crc)), layout.crc);
  await writeFile(path, bytes);
  return bytes;
}
