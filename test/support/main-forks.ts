import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { classifyFile } from '../../src/postgres/cluster/relation-file.ts';
import { PAGE_BYTES, parsePageHeader } from '../../src/postgres/cluster/data-page.ts';
import { isBlankPage, maskPage, pageKind } from './page-mask.ts';

/** More are not told one by one. */
const DIFFERENCES_MAX = 20;

/**
 * In words, how the main forks of two stopped clusters differ that were brought to the same LSN: page by page under
 * PostgreSQL's own masks. Unlogged and temporary relations, which no WAL describes, are left out; the maps of the
 * catalogues' files are compared byte by byte.
 */
export async function mainForkDifferences(expected: string, found: string): Promise<string[]> {
  const [wanted, present] = await Promise.all([mainForks(expected), mainForks(found)]);
  const differences: string[] = [];
  for (const path of new Set([...wanted, ...present])) {
    const [one, other] = await Promise.all([contentOf(expected, path), contentOf(found, path)]);
    differences.push(...fileDifferences(path, one, other));
    if (differences.length > DIFFERENCES_MAX) break;
  }
  return differences.slice(0, DIFFERENCES_MAX);
}

/** Main forks and file maps, by path within the data folder. */
async function mainForks(folder: string): Promise<string[]> {
  const files = await filesBelow(folder, ['global', 'base', 'pg_tblspc']);
  const unlogged = new Set(files.filter((path) => path.endsWith('_init')));
  return files.filter((path) => {
    if (path.endsWith('/pg_filenode.map')) return true;
    const file = classifyFile(path);
    if (file.kind === 'other' || file.fork !== 'main' || file.isTemporary) return false;
    return !unlogged.has(`${path.replace(/\.\d+$/, '')}_init`);
  });
}

/** Paths within `root` of all files below some of its folders. */
export async function filesBelow(root: string, folders: readonly string[]): Promise<string[]> {
  const paths: string[] = [];
  for (const folder of folders) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isFile()) paths.push(path);
      else paths.push(...(await filesBelow(root, [path])));
    }
  }
  return paths;
}

/** A file that is about to be unlinked is empty for a while: as good as none. */
async function contentOf(folder: string, path: string): Promise<Buffer> {
  return await readFile(join(folder, path)).catch(() => Buffer.alloc(0));
}

function fileDifferences(path: string, expected: Buffer, found: Buffer): string[] {
  if (path.endsWith('.map')) return expected.equals(found) ? [] : [`${path} differs`];
  const differences: string[] = [];
  if (expected.length % PAGE_BYTES !== 0 || found.length % PAGE_BYTES !== 0) {
    differences.push(`${path} has ${found.length} bytes, should have ${expected.length}`);
  }
  const pages = Math.ceil(Math.max(expected.length, found.length) / PAGE_BYTES);
  for (let block = 0; block < pages; block += 1) {
    const difference = pageDifference(pageAt(expected, block), pageAt(found, block), block);
    if (difference !== null) differences.push(`${path} block ${block}: ${difference}`);
  }
  return differences;
}

/** What lies beyond the file's end counts as zeros. */
function pageAt(content: Buffer, block: number): Buffer {
  const page = content.subarray(block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
  return page.length === PAGE_BYTES ? page : Buffer.concat([page], PAGE_BYTES);
}

function pageDifference(expected: Buffer, found: Buffer, block: number): string | null {
  if (expected.equals(found) || (isBlankPage(expected) && isBlankPage(found))) return null;
  const [one, other] = [maskPage(expected, block), maskPage(found, block)];
  if (one.equals(other)) return null;
  const at = one.findIndex((byte, offset) => byte !== other[offset]);
  const [wanted, present] = [describePage(expected), describePage(found)];
  return `differs at byte ${at} (${hexAt(one, at)} became ${hexAt(other, at)}): was ${wanted}, is ${present}`;
}

function hexAt(page: Buffer, at: number): string {
  return page.subarray(at, at + 8).toString('hex');
}

function describePage(page: Buffer): string {
  const header = parsePageHeader(page);
  if (isBlankPage(page)) return 'a blank page';
  const { lower, upper, lsn } = header;
  return `a ${pageKind(page, header)} page with LSN ${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}, lower ${lower}, upper ${upper}`;
}
