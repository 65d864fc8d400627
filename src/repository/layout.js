import { formatTimelineId } from '../postgres/timeline-id.js';
export const DESCRIPTOR_KEY = 'walnut.json';
const SERVER_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const RESERVED_NAMES = new Set(['tmp', 'keys']);
export function isServerName(name) {
  return SERVER_NAME.test(name) && !RESERVED_NAMES.has(name);
}
export function incarnationName(systemIdentifier, majorVersion) {
  return `${systemIdentifier}-${majorVersion}`;
}
export const serverKeys = {
  folder: (server) => `${server}/`,
  /** Revisions 0001, 0002 …; the highest valid one counts. */
  record: (server, revision) => `${server}/server-${revisionText(revision)}`,
  backupLease: (server) => `${server}/lease/backup`,
  walLease: (server) => `${server}/lease/wal`,
  /** Mutable: when the archive was last known to hold all WAL there was. */
  walComplete: (server) => `${server}/verified/wal-complete`,
};
export const backupKeys = {
  all: (server) => `${server}/backup/`,
  folder: (server, id) => `${server}/backup/${id}/`,
  attempt: (server, id) => `${server}/backup/${id}/attempt`,
  pack: (server, id, number) => `${server}/backup/${id}/pack-${String(number).padStart(6, '0')}`,
  map: (server, id, hash) => `${server}/backup/${id}/map-${hash}`,
  manifest: (server, id, revision) => `${server}/backup/${id}/manifest-${revisionText(revision)}`,
};
export const walKeys = {
  all: (server) => `${server}/wal/`,
  incarnation: (server, incarnation) => `${server}/wal/${incarnation}/`,
  timeline: (place) => `${incarnationOf(place)}${formatTimelineId(place.timeline)}/`,
  /** A finished segment, or `<segment>.partial` as PostgreSQL archives it. */
  segment: (place, name) => `${walKeys.timeline(place)}${name}`,
  /** The bytes [offset, offset + length) of a segment that is not finished. */
  piece: (place, piece) =>
    `${walKeys.timeline(place)}${piece.segment}.part-${piece.offset}-${piece.length}`,
  index: (place, first, last) => `${walKeys.timeline(place)}index/${first}-${last}`,
  /** A range that the server no longer had: recorded, never guessed. */
  gap: (place, from, to) => `${walKeys.timeline(place)}gap/${hexadecimal(from)}-${hexadecimal(to)}`,
  /** `NNNNNNNN.history` and `<segment>.<offset>.backup`, kept for ever. */
  history: (serverName, incarnation, name) =>
    `${walKeys.incarnation(serverName, incarnation)}${name}`,
};
const PIECE = /^([0-9A-F]{24})\.part-(\d{1,10})-(\d{1,10})$/;
export function parsePieceName(name) {
  const [, segment, offset, length] = PIECE.exec(name) ?? [];
  if (segment === undefined) return null;
  return { segment, offset: Number(offset), length: Number(length) };
}
/** Reverses {@link revisionText} for the last part of a key; null for another name. */
export function parseRevision(name) {
  const [, digits] = /^(?:manifest|server)-(\d{4,})$/.exec(name) ?? [];
  return digits === undefined ? null : Number(digits);
}
function incarnationOf(place) {
  return walKeys.incarnation(place.server, place.incarnation);
}
function revisionText(revision) {
  return String(revision).padStart(4, '0');
}
function hexadecimal(lsn) {
  return lsn.toString(16).toUpperCase().padStart(16, '0');
}
