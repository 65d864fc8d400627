import { WalnutError } from '../../lib/walnut-error.ts';
import { sqlStateOf } from './error-mapping.ts';
import type { Session } from './session.ts';

export type ServerFolderEntry = {
  readonly name: string;
  readonly isFolder: boolean;
  readonly sizeBytes: number;
  /** Since 1970, to the millisecond or finer. */
  readonly modifiedMs: number;
};

export type ServerFile = ServerFolderEntry & {
  /** Relative to the data directory; below a tablespace `pg_tblspc/<oid>/…`. */
  readonly path: string;
};

/** Deeper nesting than PostgreSQL ever makes means a loop of symbolic links. */
const DEPTH_MAX = 32;

const LIST = `
  SELECT name, (entry).size::float8 AS size, (entry).isdir AS is_folder,
    (extract(epoch FROM (entry).modification) * 1000)::float8 AS modified_ms
  FROM (SELECT name, pg_stat_file($1 || '/' || name, true) AS entry
        FROM pg_ls_dir($1, true, false) AS name OFFSET 0) AS listed
  WHERE (entry).size IS NOT NULL`;

/**
 * The entries of one folder of the data directory (`''` for itself), unsorted, or null when it is gone. Symbolic links
 * show as what they point to; what vanished while listing is left out. Needs pg_ls_dir and pg_stat_file.
 */
export async function listServerFolder(
  session: Session,
  path: string,
): Promise<ServerFolderEntry[] | null> {
  const act = `list folder "${path}" on the server`;
  const folder = path === '' ? '.' : path;
  type Row = { name: string; size: number; is_folder: boolean; modified_ms: number };
  const rows = await session.query<Row>(LIST, { parameters: [folder], act });
  if (rows.length === 0 && !(await isFolder(session, folder))) return null;
  return rows.map((row) => ({
    name: row.name,
    isFolder: row.is_folder,
    sizeBytes: row.size,
    modifiedMs: row.modified_ms,
  }));
}

/** Every file and folder of the data directory and its tablespaces, parents first, one folder in memory at a time. */
export async function* listServerFiles(session: Session): AsyncGenerator<ServerFile> {
  const waiting = [{ path: '', depth: 0 }];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    if (folder.depth > DEPTH_MAX) {
      throw new WalnutError(
        'failed',
        `list folder "${folder.path}" on the server: nested too deep`,
        {
          hint: 'A symbolic link in the data directory points back into it; remove it.',
        },
      );
    }
    for (const entry of (await listServerFolder(session, folder.path)) ?? []) {
      const path = folder.path === '' ? entry.name : `${folder.path}/${entry.name}`;
      if (entry.isFolder) waiting.push({ path, depth: folder.depth + 1 });
      yield { ...entry, path };
    }
  }
}

/** A whole small file, or null when it is gone. @throws WalnutError `failed` when it is larger than `maxBytes`. */
export async function readServerFile(
  session: Session,
  path: string,
  maxBytes: number,
): Promise<Buffer | null> {
  const rows = await session.query<{ content: Buffer | null }>(
    'SELECT pg_read_binary_file($1, 0, $2::int8, true) AS content',
    { parameters: [path, maxBytes + 1], act: `read file "${path}" on the server` },
  );
  const content = rows[0]?.content ?? null;
  if (content !== null && content.length > maxBytes) {
    throw new WalnutError(
      'failed',
      `read file "${path}" on the server: larger than ${maxBytes} bytes`,
    );
  }
  return content;
}

async function isFolder(session: Session, path: string): Promise<boolean> {
  try {
    const rows = await session.query<{ is_folder: boolean | null }>(
      'SELECT (pg_stat_file($1, true)).isdir AS is_folder',
      { parameters: [path], act: `look at "${path}" on the server` },
    );
    return rows[0]?.is_folder === true;
  } catch (error) {
    // 58P01: a part of the path itself is gone.
    if (sqlStateOf(error) === '58P01') return false;
    throw error;
  }
}
