import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isNewPage, PAGE_BYTES, parsePageHeader } from '../../src/postgres/cluster/data-page.ts';
import { pageChecksum } from '../../src/postgres/cluster/page-checksum.ts';
import { classifyFile } from '../../src/postgres/cluster/relation-file.ts';
import type { TestCluster } from './cluster.ts';
import { changeControlFile } from './control-file.ts';
import { filesBelow } from './main-forks.ts';

/**
 * What `pg_checksums --enable` does to a stopped cluster (it is no part of the server's npm package): each page gets its
 * checksum, no LSN changes, WAL tells nothing.
 */
export async function enableChecksums(cluster: TestCluster): Promise<void> {
  const { dataFolder } = cluster;
  for (const path of await filesBelow(dataFolder, ['global', 'base', 'pg_tblspc'])) {
    const file = classifyFile(path);
    if (file.kind === 'relation') await writeChecksums(join(dataFolder, path), file.segment);
  }
  await changeControlFile(cluster, (bytes, { dataChecksumVersion }) => {
    bytes.writeUInt32LE(1, dataChecksumVersion);
  });
}

async function writeChecksums(path: string, segment: number): Promise<void> {
  const content = await readFile(path);
  for (let at = 0; at < content.length; at += PAGE_BYTES) {
    const page = content.subarray(at, at + PAGE_BYTES);
    if (isNewPage(parsePageHeader(page))) continue;
    const block = segment * 131_072 + at / PAGE_BYTES;
    page.writeUInt16LE(pageChecksum(page, block), 8);
  }
  await writeFile(path, content);
}
