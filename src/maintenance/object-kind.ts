import { parseWalKey } from '../catalog/wal-key.ts';
import { formatSegmentName, segmentStart } from '../postgres/segment-name.ts';
import { isBackupId, type BackupId } from '../repository/backup-id.ts';
import { parseRevision, serverKeys } from '../repository/layout.ts';
import type { WalObjectName } from './check-wal-object.ts';

/** What the name of an object below a server's folder promises. */
export type ObjectName =
  | { readonly kind: 'record' }
  /** Leases, marks and notes that change, and that no restore needs. */
  | { readonly kind: 'mutable' }
  | {
      readonly kind: 'attempt' | 'pack' | 'map' | 'manifest';
      readonly backup: BackupId;
    }
  | { readonly kind: 'wal'; readonly incarnation: string; readonly path: string }
  | { readonly kind: 'unexpected' };

const BACKUP_OBJECT = /^(attempt|pack-\d{6,}|map-[0-9a-f]{32}|manifest-\d{4,})$/;
const INCARNATION = /^\d{1,20}-\d{1,3}$/;

export function nameOfObject(server: string, key: string): ObjectName {
  const path = key.slice(serverKeys.folder(server).length);
  if (parseRevision(path) !== null && path.startsWith('server-')) return { kind: 'record' };
  const [area = '', owner = '', ...rest] = path.split('/');
  if (area === 'lease' || area === 'verified') return { kind: 'mutable' };
  if (area === 'backup' && isBackupId(owner)) return nameInBackup(owner, rest.join('/'));
  if (area === 'wal' && INCARNATION.test(owner) && rest.length > 0) {
    return { kind: 'wal', incarnation: owner, path: rest.join('/') };
  }
  return { kind: 'unexpected' };
}

function nameInBackup(backup: BackupId, name: string): ObjectName {
  if (name === 'keep') return { kind: 'mutable' };
  const kind = BACKUP_OBJECT.test(name) ? name.split('-')[0] : undefined;
  const isKnown = kind === 'attempt' || kind === 'pack' || kind === 'map' || kind === 'manifest';
  return isKnown ? { kind, backup } : { kind: 'unexpected' };
}

/** What a path below an incarnation's folder promises; null for none of ours. */
export function nameOfWalObject(path: string, segmentBytes: number): WalObjectName | null {
  const parsed = parseWalKey(path, segmentBytes);
  switch (parsed?.kind) {
    case 'segment':
    case 'partial':
      return { kind: parsed.kind, segment: formatSegmentName(parsed, segmentBytes) };
    case 'piece': {
      const { offset, length } = parsed;
      return { kind: 'piece', segment: formatSegmentName(parsed, segmentBytes), offset, length };
    }
    case 'history':
      return { kind: 'history', timeline: parsed.timeline };
    case 'changes':
      return {
        kind: 'changes',
        timeline: parsed.timeline,
        start: segmentStart(parsed.first, segmentBytes),
        end: segmentStart(parsed.last + 1n, segmentBytes),
      };
    case 'index':
    case 'gap':
    case 'backup-history':
      return { kind: parsed.kind };
    case undefined:
    default:
      return null;
  }
}
