import { randomFillSync } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PAGE_BYTES } from '../../src/postgres/cluster/data-page.ts';
import type { TestCluster } from './cluster.ts';

const PAGES_AT_ONCE = 1024;
const HEADER_BYTES = 24;
const SIZE_AND_VERSION = 0x2004;

/**
 * Appends empty pages to a table's file while the server is down: without WAL, in a moment. What lies between their
 * bounds has no meaning to PostgreSQL and does not compress. The cluster has no checksums; the table stays below 1 GB.
 */
export async function appendBallast(
  cluster: TestCluster,
  table: string,
  bytes: number,
): Promise<void> {
  const path = await cluster.value(`select pg_relation_filepath('${table}')`);
  await cluster.sql('checkpoint');
  await cluster.server.stop('fast');
  const pages = Buffer.alloc(PAGES_AT_ONCE * PAGE_BYTES);
  for (let done = 0; done < bytes; done += pages.length) {
    randomFillSync(pages);
    for (let at = 0; at < pages.length; at += PAGE_BYTES) writeEmptyHeader(pages, at);
    await appendFile(join(cluster.dataFolder, path), pages);
  }
  await cluster.server.start();
}

/** As `PageInit` leaves it. */
function writeEmptyHeader(pages: Buffer, at: number): void {
  pages.fill(0, at, at + HEADER_BYTES);
  pages.writeUInt16LE(HEADER_BYTES, at + 12);
  pages.writeUInt16LE(PAGE_BYTES, at + 14);
  pages.writeUInt16LE(PAGE_BYTES, at + 16);
  pages.writeUInt16LE(SIZE_AND_VERSION, at + 18);
}
