/** Lists folders of a data directory over SQL, one at a time, so that a million files never meet in one answer. */
import type { Session } from './session.ts';

export type ServerFolderEntry = {
  readonly name: string;
  readonly isFolder: boolean;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
};

/**
 * `pg_stat_file` follows symbolic links, so a link looks like what it points to. What vanishes between listing and
 * looking is left out.
 */
const LIST = `
  SELECT name, f.isdir AS is_folder, f.size::text AS size, (extract(epoch FROM f.modification) * 1000)::bigint::text AS modified
    FROM pg_ls_dir($1, true, false) AS name, pg_stat_file($2 || name, true) AS f WHERE f.size IS NOT NULL`;
const EXISTS = 'SELECT isdir FROM pg_stat_file($1, true)';

type Row = { name: string; is_folder: boolean; size: string; modified: string };

/** @param path relative to the data directory, empty for itself. Null when the folder is gone. */
export async function listServerFolder(
  session: Session,
  path: string,
): Promise<ServerFolderEntry[] | null> {
  const act = `list folder ${path === '' ? 'of the data directory' : path}`;
  const folder = path === '' ? '.' : path;
  const rows = await session.query<Row>(LIST, { parameters: [folder, `${folder}/`], act });
  if (rows.length === 0) {
    const [facts] = await session.query<{ isdir: boolean | null }>(EXISTS, {
      parameters: [folder],
      act,
    });
    if (facts?.isdir !== true) return null;
  }
  return rows.map((row) => ({
    name: row.name,
    isFolder: row.is_folder,
    sizeBytes: Number(row.size),
    modifiedMs: Number(row.modified),
  }));
}

/** The content of a file up to `maxBytes`, or null when there is none. For small files: it travels as one value. */
export async function readServerFile(
  session: Session,
  path: string,
  maxBytes: number,
): Promise<Buffer | null> {
  const rows = await session.query<{ content: Buffer | null }>(
    'SELECT pg_read_binary_file($1, 0, $2, true) AS content',
    { parameters: [path, maxBytes], act: `read ${path}` },
  );
  return rows[0]?.content ?? null;
}
