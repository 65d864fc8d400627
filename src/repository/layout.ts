/** Every key of a repository is made here, and only here (docs/repository-format.md, "Keys"). */
import type { Lsn } from '../postgres/lsn.ts';
import { formatTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from './backup-id.ts';

/** Names one life of a server: system identifier and major version, such as `7432109876543210987-18`. */
export type IncarnationName = string & { readonly __incarnation?: never };

export const DESCRIPTOR_KEY = 'walnut.json';

const SERVER_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const RESERVED_NAMES: ReadonlySet<string> = new Set(['tmp', 'keys']);

export function isServerName(name: string): boolean {
  return SERVER_NAME.test(name) && !RESERVED_NAMES.has(name);
}

export function incarnationName(systemIdentifier: bigint, majorVersion: number): IncarnationName {
  return `${systemIdentifier}-${majorVersion}`;
}

export const serverKeys = {
  folder: (server: string): string => `${server}/`,
  /** Revisions 0001, 0002 …; the highest valid one counts. */
  record: (server: string, revision: number): string =>
    `${server}/server-${revisionText(revision)}`,
  backupLease: (server: string): string => `${server}/lease/backup`,
  walLease: (server: string): string => `${server}/lease/wal`,
  /** Mutable: when the archive was last known to hold all WAL there was. */
  walComplete: (server: string): string => `${server}/verified/wal-complete`,
  /** Mutable: WAL that retention has given up; it counts as gone from the moment it is noted here. */
  walExpired: (server: string): string => `${server}/verified/wal-expired`,
  /** Mutable: what could not be read back when it was last checked. */
  knownDamage: (server: string): string => `${server}/verified/known-damage`,
  /** Mutable: what was last checked when. */
  checked: (server: string): string => `${server}/verified/checked`,
  /** Mutable: who reads backups, so that nobody deletes them meanwhile. */
  readers: (server: string): string => `${server}/lease/readers/`,
  reader: (server: string, name: string): string => `${server}/lease/readers/${name}`,
  /** Mutable: what is about to be deleted, so that nobody begins to read it. */
  deletion: (server: string): string => `${server}/lease/deletion`,
} as const;

export const backupKeys = {
  all: (server: string): string => `${server}/backup/`,
  folder: (server: string, id: BackupId): string => `${server}/backup/${id}/`,
  attempt: (server: string, id: BackupId): string => `${server}/backup/${id}/attempt`,
  /** Mutable: a person wants the backup kept. */
  keep: (server: string, id: BackupId): string => `${server}/backup/${id}/keep`,
  pack: (server: string, id: BackupId, number: number): string =>
    `${server}/backup/${id}/pack-${String(number).padStart(6, '0')}`,
  map: (server: string, id: BackupId, hash: string): string => `${server}/backup/${id}/map-${hash}`,
  manifest: (server: string, id: BackupId, revision: number): string =>
    `${server}/backup/${id}/manifest-${revisionText(revision)}`,
} as const;

export const walKeys = {
  all: (server: string): string => `${server}/wal/`,
  incarnation: (server: string, incarnation: IncarnationName): string =>
    `${server}/wal/${incarnation}/`,
  timeline: (place: WalPlace): string =>
    `${incarnationOf(place)}${formatTimelineId(place.timeline)}/`,
  /** A finished segment, or `<segment>.partial` as PostgreSQL archives it. */
  segment: (place: WalPlace, name: string): string => `${walKeys.timeline(place)}${name}`,
  /** The bytes [offset, offset + length) of a segment that is not finished. */
  piece: (place: WalPlace, piece: PieceName): string =>
    `${walKeys.timeline(place)}${piece.segment}.part-${piece.offset}-${piece.length}`,
  index: (place: WalPlace, first: string, last: string): string =>
    `${walKeys.timeline(place)}index/${first}-${last}`,
  /** The joined changes of a run of segments, which outlive the segments. */
  changes: (place: WalPlace, first: string, last: string): string =>
    `${walKeys.timeline(place)}changes/${first}-${last}`,
  /** A range that the server no longer had: recorded, never guessed. */
  gap: (place: WalPlace, from: Lsn, to: Lsn): string =>
    `${walKeys.timeline(place)}gap/${hexadecimal(from)}-${hexadecimal(to)}`,
  /** `NNNNNNNN.history` and `<segment>.<offset>.backup`, kept for ever. */
  history: (serverName: string, incarnation: IncarnationName, name: string): string =>
    `${walKeys.incarnation(serverName, incarnation)}${name}`,
} as const;

export type WalPlace = {
  readonly server: string;
  readonly incarnation: IncarnationName;
  readonly timeline: TimelineId;
};

export type PieceName = {
  readonly segment: string;
  readonly offset: number;
  readonly length: number;
};

const PIECE = /^([0-9A-F]{24})\.part-(\d{1,10})-(\d{1,10})$/;

export function parsePieceName(name: string): PieceName | null {
  const [, segment, offset, length] = PIECE.exec(name) ?? [];
  if (segment === undefined) return null;
  return { segment, offset: Number(offset), length: Number(length) };
}

/** Reverses {@link revisionText} for the last part of a key; null for another name. */
export function parseRevision(name: string): number | null {
  const [, digits] = /^(?:manifest|server)-(\d{4,})$/.exec(name) ?? [];
  return digits === undefined ? null : Number(digits);
}

function incarnationOf(place: WalPlace): string {
  return walKeys.incarnation(place.server, place.incarnation);
}

function revisionText(revision: number): string {
  return String(revision).padStart(4, '0');
}

function hexadecimal(lsn: Lsn): string {
  return lsn.toString(16).toUpperCase().padStart(16, '0');
}
