import { WalnutError } from '../../lib/walnut-error.ts';
import type { MajorVersion } from '../version.ts';
import { CLUSTER_VERSIONS } from './cluster-versions.ts';

/** A tablespace outside the data directory: `pg_tblspc/<oid>` links to `location`. */
export type TablespaceLocation = {
  readonly oid: number;
  /** An absolute path, as the bytes the server uses, read as UTF-8. */
  readonly location: string;
};

/**
 * Reads a tablespace_map: a line `<oid> <path>` per tablespace, with newline, carriage return and (from 14 on) backslash
 * in the path escaped by a backslash. An empty file is a map without tablespaces.
 * Source: read_tablespace_map in src/backend/access/transam/xlogrecovery.c.
 * @throws WalnutError `object-damaged`
 */
export function parseTablespaceMap(
  content: Uint8Array | string,
  major: MajorVersion,
): TablespaceLocation[] {
  const text = typeof content === 'string' ? content : Buffer.from(content).toString('utf8');
  const locations: TablespaceLocation[] = [];
  const seen = new Set<number>();
  for (const line of unescapedLines(text, CLUSTER_VERSIONS[major].escapesBackslash)) {
    const [, digits, location] = /^(\d{1,10}) ([^]+)$/.exec(line) ?? [];
    const oid = Number(digits);
    if (location === undefined || oid < 1 || oid > 0xffff_ffff) {
      throw damaged(`unreadable line ${JSON.stringify(line.slice(0, 200))}`);
    }
    if (!location.startsWith('/') || location.includes('\0')) {
      throw damaged(`location ${JSON.stringify(location.slice(0, 200))} is not absolute`);
    }
    if (seen.has(oid)) throw damaged(`tablespace ${oid} stands twice`);
    seen.add(oid);
    locations.push({ oid, location });
  }
  return locations;
}

/** The bytes of a tablespace_map that a server of version `major` reads, in the order given. */
export function formatTablespaceMap(
  locations: readonly TablespaceLocation[],
  major: MajorVersion,
): string {
  const special = CLUSTER_VERSIONS[major].escapesBackslash ? /[\\\n\r]/g : /[\n\r]/g;
  return locations
    .map(({ oid, location }) => `${oid} ${location.replaceAll(special, '\\$&')}\n`)
    .join('');
}

function* unescapedLines(text: string, escapesBackslash: boolean): Generator<string> {
  let line = '';
  let afterBackslash = false;
  for (const character of text) {
    const isLineEnd = character === '\n' || character === '\r';
    // 13 takes a backslash for itself unless a line end follows.
    if (afterBackslash && !escapesBackslash && !isLineEnd) line += '\\';
    if (isLineEnd && !afterBackslash) {
      if (line !== '') yield line;
      line = '';
    } else if (character === '\\' && !(afterBackslash && escapesBackslash)) {
      afterBackslash = true;
      continue;
    } else {
      line += character;
    }
    afterBackslash = false;
  }
  if (afterBackslash || line !== '') throw damaged('its last line is cut');
}

function damaged(reason: string): WalnutError {
  return new WalnutError('object-damaged', `read tablespace_map: ${reason}`, {
    hint: 'Without its tablespace_map a backup must not be restored: choose another backup.',
  });
}
