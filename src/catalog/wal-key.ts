import { toLsn, type Lsn } from '../postgres/lsn.ts';
import { isSegmentName, parseSegmentName } from '../postgres/segment-name.ts';
import { parseHistoryFileName } from '../postgres/timeline-history.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import { parsePieceName } from '../repository/layout.ts';

/** What a key below an incarnation's folder stands for. */
export type WalKey =
  | { readonly kind: 'history'; readonly timeline: TimelineId }
  | { readonly kind: 'backup-history'; readonly name: string }
  | { readonly kind: 'segment' | 'partial'; readonly timeline: TimelineId; readonly number: bigint }
  | {
      readonly kind: 'piece';
      readonly timeline: TimelineId;
      readonly number: bigint;
      readonly offset: number;
      readonly length: number;
    }
  | {
      readonly kind: 'index';
      readonly timeline: TimelineId;
      readonly first: bigint;
      readonly last: bigint;
    }
  | {
      readonly kind: 'changes';
      readonly timeline: TimelineId;
      readonly first: bigint;
      readonly last: bigint;
    }
  | {
      readonly kind: 'gap';
      readonly timeline: TimelineId;
      readonly start: Lsn;
      readonly end: Lsn;
    };

const BACKUP_HISTORY = /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/;
const RUN = /^(index|changes)\/([0-9A-F]{24})-([0-9A-F]{24})$/;
const GAP = /^gap\/([0-9A-F]{16})-([0-9A-F]{16})$/;
const TIMELINE_FOLDER = /^([0-9A-F]{8})\/(.+)$/;

/**
 * Reads the part of a key behind `<server>/wal/<incarnation>/`; null for what is none of ours or impossible at this
 * segment size.
 */
export function parseWalKey(path: string, segmentBytes: number): WalKey | null {
  const [, folder, name] = TIMELINE_FOLDER.exec(path) ?? [];
  if (folder === undefined || name === undefined) return parseRootName(path);
  try {
    return parseTimelineName(folder, name, segmentBytes);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return null;
    throw error;
  }
}

export function isBackupHistoryName(name: string): boolean {
  return BACKUP_HISTORY.test(name);
}

function parseRootName(name: string): WalKey | null {
  if (isBackupHistoryName(name)) return { kind: 'backup-history', name };
  const timeline = parseHistoryFileName(name);
  return timeline === null ? null : { kind: 'history', timeline };
}

function parseTimelineName(folder: string, name: string, segmentBytes: number): WalKey | null {
  const inFolder = (text: string): { timeline: TimelineId; number: bigint } | null =>
    text.startsWith(folder) ? parseSegmentName(text, segmentBytes) : null;

  const [, gapStart, gapEnd] = GAP.exec(name) ?? [];
  if (gapStart !== undefined && gapEnd !== undefined) {
    const { timeline } = parseSegmentName(`${folder}${'0'.repeat(16)}`, segmentBytes);
    return { kind: 'gap', timeline, start: hexadecimalLsn(gapStart), end: hexadecimalLsn(gapEnd) };
  }
  const [, runKind, firstName, lastName] = RUN.exec(name) ?? [];
  if (firstName !== undefined && lastName !== undefined) {
    const first = inFolder(firstName);
    const last = inFolder(lastName);
    if (first === null || last === null) return null;
    const kind = runKind === 'index' ? 'index' : 'changes';
    return { kind, timeline: first.timeline, first: first.number, last: last.number };
  }
  const piece = parsePieceName(name);
  if (piece !== null) {
    const place = inFolder(piece.segment);
    const { offset, length } = piece;
    return place === null ? null : { kind: 'piece', ...place, offset, length };
  }
  const plain = name.replace(/\.partial$/, '');
  if (!isSegmentName(plain)) return null;
  const place = inFolder(plain);
  return place === null ? null : { kind: plain === name ? 'segment' : 'partial', ...place };
}

function hexadecimalLsn(digits: string): Lsn {
  return toLsn(BigInt(`0x${digits}`));
}
