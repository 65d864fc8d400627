/** OIDs of the two tablespaces inside the data directory (src/include/catalog/pg_tablespace.dat). */
const DEFAULT_TABLESPACE_OID = 1663;
export const GLOBAL_TABLESPACE_OID = 1664;

/** Blocks in one segment file of a relation: 1 GB, what every packaged PostgreSQL has (`--with-segsize`). */
export const RELATION_SEGMENT_BLOCKS = 131_072;

export const RELATION_FORKS = ['main', 'fsm', 'vm', 'init'] as const;

/** The forks in the order of their numbers in WAL. */
type RelationFork = (typeof RELATION_FORKS)[number];

export type RelationFile = {
  readonly kind: 'relation';
  /** 1663 for `base/`, 1664 for `global/`, as WAL names them. */
  readonly tablespaceOid: number;
  /** 0 in `global/`. */
  readonly databaseOid: number;
  readonly relfilenode: number;
  readonly fork: RelationFork;
  /** 0 for the first gigabyte, whose file has no suffix. */
  readonly segment: number;
  /** A relation of one session, which no backup contains. */
  readonly isTemporary: boolean;
};

export type OtherFile = { readonly kind: 'other' };

export type RelationName = Pick<RelationFile, 'relfilenode' | 'fork' | 'segment' | 'isTemporary'>;

const RELATION_NAME = /^(?:t\d{1,10}_)?([1-9]\d{0,9})(?:_(fsm|vm|init))?(?:\.([1-9]\d{0,9}))?$/;
/** What most names are; of a million of them no arrays of matches are made. */
const FIRST_SEGMENT_NAME = /^[1-9]\d{0,9}$/;
const RELATION_FOLDER =
  /^(?:(global)|base\/([1-9]\d{0,9})|pg_tblspc\/([1-9]\d{0,9})\/PG_[^/]+\/([1-9]\d{0,9}))$/;
const OID_MAX = 0xffff_ffff;
const OTHER: OtherFile = { kind: 'other' };

/**
 * What a file is, by its path relative to the data directory; tablespaces are reached through `pg_tblspc/<oid>`, in-place
 * ones as well. Source: GetRelationPath in src/common/relpath.c, parse_filename_for_nontemp_relation in
 * src/backend/storage/file/reinit.c.
 */
export function classifyFile(path: string): RelationFile | OtherFile {
  const slash = path.lastIndexOf('/');
  const folder = relationFolder(path.slice(0, Math.max(slash, 0)));
  if (folder === null) return OTHER;
  const name = parseRelationName(path.slice(slash + 1));
  return name === null ? OTHER : { kind: 'relation', ...folder, ...name };
}

/** The tablespace and database whose relations stand in `folder`; null for a folder that holds none. */
export function relationFolder(folder: string): RelationFolder | null {
  if (folder !== asked.folder) asked = { folder, answer: parseRelationFolder(folder) };
  return asked.answer;
}

type RelationFolder = Pick<RelationFile, 'tablespaceOid' | 'databaseOid'>;

/** Files are looked at folder by folder. */
let asked: { readonly folder: string; readonly answer: RelationFolder | null } = {
  folder: '',
  answer: null,
};

function parseRelationFolder(folder: string): RelationFolder | null {
  const match = RELATION_FOLDER.exec(folder);
  if (match === null) return null;
  const [, global, defaultDatabase, tablespace, database] = match;
  if (global !== undefined) return { tablespaceOid: GLOBAL_TABLESPACE_OID, databaseOid: 0 };
  const tablespaceOid = tablespace === undefined ? DEFAULT_TABLESPACE_OID : Number(tablespace);
  const databaseOid = Number(database ?? defaultDatabase);
  return tablespaceOid > OID_MAX || databaseOid > OID_MAX ? null : { tablespaceOid, databaseOid };
}

/** Reads a name within a folder of relations, such as `16384_vm.2`; null when it is none. */
export function parseRelationName(name: string): RelationName | null {
  if (FIRST_SEGMENT_NAME.test(name)) {
    const relfilenode = Number(name);
    if (relfilenode > OID_MAX) return null;
    return { relfilenode, fork: 'main', segment: 0, isTemporary: false };
  }
  const [, digits, fork, segmentDigits] = RELATION_NAME.exec(name) ?? [];
  const relfilenode = Number(digits);
  const segment = segmentDigits === undefined ? 0 : Number(segmentDigits);
  if (digits === undefined || relfilenode > OID_MAX || segment > OID_MAX) return null;
  return {
    relfilenode,
    fork: RELATION_FORKS.find((known) => known === fork) ?? 'main',
    segment,
    isTemporary: name.startsWith('t'),
  };
}

/** The path of the file, relative to the data directory, with `versionFolder` such as `PG_18_202506291`. */
export function formatRelationPath(
  file: Omit<RelationFile, 'kind' | 'isTemporary'>,
  versionFolder: string,
): string {
  const fork = file.fork === 'main' ? '' : `_${file.fork}`;
  const segment = file.segment === 0 ? '' : `.${file.segment}`;
  return `${folderOf(file, versionFolder)}/${file.relfilenode}${fork}${segment}`;
}

function folderOf(
  { tablespaceOid, databaseOid }: Pick<RelationFile, 'tablespaceOid' | 'databaseOid'>,
  versionFolder: string,
): string {
  if (tablespaceOid === GLOBAL_TABLESPACE_OID) return 'global';
  if (tablespaceOid === DEFAULT_TABLESPACE_OID) return `base/${databaseOid}`;
  return `pg_tblspc/${tablespaceOid}/${versionFolder}/${databaseOid}`;
}
