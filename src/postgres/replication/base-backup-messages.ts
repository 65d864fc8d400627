import type { MajorVersion } from '../version.ts';
import { quoteLiteral } from './commands.ts';
import { MessageReader, protocolError } from './raw-result.ts';

export type BaseBackupOptions = {
  readonly label: string;
  readonly fastCheckpoint?: boolean;
  /** Kilobytes a second, 32 to 1048576. */
  readonly maxRateKb?: number | null;
  /** The server checks page checksums where it has them, and reports after complete delivery. Default true. */
  readonly verifyChecksums?: boolean;
  /** Default true: tablespaces come as a `tablespace_map` file instead of symbolic links. */
  readonly tablespaceMap?: boolean;
  /** Asks for the backup manifest with these checksums; null for none. Default null. */
  readonly manifestChecksums?: 'NONE' | 'CRC32C' | 'SHA256' | null;
  /** The server estimates sizes first, which walks all files. Default true. */
  readonly progress?: boolean;
};

const OLD_WORDS = { fast: 'FAST', noWait: 'NOWAIT', noVerify: 'NOVERIFY_CHECKSUMS' } as const;
const NEW_WORDS = {
  fast: "CHECKPOINT 'fast'",
  noWait: 'WAIT false',
  noVerify: 'VERIFY_CHECKSUMS false',
} as const;

/** BASE_BACKUP without waiting for archiving; 13 and 14 take bare keywords, 15 and newer only the parenthesised form. */
export function baseBackupCommand(options: BaseBackupOptions, majorVersion: MajorVersion): string {
  const isNew = majorVersion >= 15;
  const words = isNew ? NEW_WORDS : OLD_WORDS;
  const { maxRateKb = null, manifestChecksums = null } = options;
  const parts = [
    `LABEL ${quoteLiteral(options.label)}`,
    ...when(options.progress ?? true, 'PROGRESS'),
    ...when(options.fastCheckpoint ?? false, words.fast),
    words.noWait,
    ...when(maxRateKb !== null, `MAX_RATE ${maxRateKb}`),
    ...when(options.tablespaceMap ?? true, 'TABLESPACE_MAP'),
    ...when(options.verifyChecksums === false, words.noVerify),
    ...when(manifestChecksums !== null, "MANIFEST 'yes'"),
    ...when(manifestChecksums !== null, `MANIFEST_CHECKSUMS '${manifestChecksums}'`),
  ];
  return isNew ? `BASE_BACKUP (${parts.join(', ')})` : `BASE_BACKUP ${parts.join(' ')}`;
}

function when(condition: boolean, part: string): string[] {
  return condition ? [part] : [];
}

/** What the first byte of a CopyData message of 15 and newer says. */
export type ArchiveMessage =
  | { readonly kind: 'archive'; readonly name: string; readonly location: string }
  | { readonly kind: 'manifest' }
  | { readonly kind: 'progress'; readonly bytesDone: number };

export const ARCHIVE_DATA = 0x64; // d

/**
 * Decodes any CopyData message of BASE_BACKUP but data.
 * Source: https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
export function parseArchiveMessage(body: Buffer): ArchiveMessage {
  const reader = new MessageReader('BASE_BACKUP', body);
  const type = String.fromCharCode(reader.uint8());
  if (type === 'n') {
    const name = reader.cstring();
    const location = reader.cstring();
    reader.end();
    return { kind: 'archive', name, location };
  }
  if (type === 'm') {
    reader.end();
    return { kind: 'manifest' };
  }
  if (type === 'p') {
    const bytesDone = Number(reader.uint64());
    reader.end();
    return { kind: 'progress', bytesDone };
  }
  throw protocolError(`unknown BASE_BACKUP message "${type}"`);
}
