import { crc32c } from '../../lib/hashing.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { toLsn, type Lsn } from '../lsn.ts';
import { isSegmentSize } from '../segment-name.ts';
import { toTimelineId, type TimelineId } from '../timeline-id.ts';
import type { MajorVersion } from '../version.ts';
import { CLUSTER_VERSIONS } from './cluster-versions.ts';
import type { ControlFileLayout } from './versions/cluster-version.ts';

const KNOWN_VERSIONS = Object.values(CLUSTER_VERSIONS);

/** Where pg_control stands in a data directory. */
export const CONTROL_FILE_PATH = 'global/pg_control';

/** Only the first part of the file is data, but it is always written whole. */
export const CONTROL_FILE_BYTES = 8192;

const CLUSTER_STATES = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
] as const;

const WAL_LEVELS = ['minimal', 'replica', 'logical'] as const;

/** `DBState`, in the words of pg_controldata. */
type ClusterState = (typeof CLUSTER_STATES)[number];

/** Settings that a restored server needs at least as large to run hot standby (POSTGRES.md calls them "the five"). */
export type RequiredSettings = {
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
};

export type ControlFile = {
  readonly major: MajorVersion;
  readonly controlVersion: number;
  readonly catalogVersion: number;
  readonly systemIdentifier: bigint;
  readonly state: ClusterState;
  /** When the file was last written, by the server's clock. */
  readonly updatedAt: Date;
  readonly checkpoint: Lsn;
  readonly redo: Lsn;
  readonly timeline: TimelineId;
  readonly previousTimeline: TimelineId;
  readonly fullPageWrites: boolean;
  readonly nextXid: bigint;
  readonly checkpointTime: Date;
  /** 0/0 when no recovery needs to be ended. */
  readonly minRecoveryPoint: Lsn;
  /** 0 when there is no `minRecoveryPoint`. */
  readonly minRecoveryPointTimeline: number;
  readonly backupStartPoint: Lsn;
  readonly backupEndPoint: Lsn;
  readonly backupEndRequired: boolean;
  readonly walLevel: (typeof WAL_LEVELS)[number];
  readonly walLogHints: boolean;
  readonly requiredSettings: RequiredSettings;
  /** Bytes per page of a relation. */
  readonly blockSize: number;
  /** Pages per file of a relation, 131072 unless the server was built otherwise. */
  readonly relationSegmentBlocks: number;
  /** Bytes per page of WAL. */
  readonly walBlockSize: number;
  readonly walSegmentBytes: number;
  /** 0 when the cluster has no data checksums. */
  readonly dataChecksumVersion: number;
  /** How `char` compares; null before 18, which does not record it. */
  readonly charSignedness: 'signed' | 'unsigned' | null;
};

/**
 * Reads `global/pg_control` of PostgreSQL 13 to 18, written by a little-endian machine.
 * @param bytes the file, 8192 bytes; what follows its checksum is not looked at.
 * @throws WalnutError `unsupported` for another version, `object-damaged` when checksum or content is wrong.
 */
export function parseControlFile(bytes: Uint8Array): ControlFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const layout = requireLayout(view);
  if (!hasValidCrc(view, layout)) {
    throw damaged('checksum does not match', 'A read can meet a write: read the file again.');
  }
  const catalogVersion = view.getUint32(12, true);
  const settings = layout.settings;
  const checksumVersion = view.getUint32(layout.dataChecksumVersion, true);
  const control: ControlFile = {
    major: majorOf(layout, catalogVersion),
    controlVersion: layout.version,
    catalogVersion,
    systemIdentifier: view.getBigUint64(0, true),
    state: named(CLUSTER_STATES, view.getInt32(16, true), 'cluster state'),
    updatedAt: timeAt(view, 24),
    checkpoint: lsnAt(view, 32),
    redo: lsnAt(view, 40),
    timeline: timelineAtOffset(view, 48),
    previousTimeline: timelineAtOffset(view, 52),
    fullPageWrites: view.getUint8(56) !== 0,
    nextXid: view.getBigUint64(64, true),
    checkpointTime: timeAt(view, 104),
    minRecoveryPoint: lsnAt(view, layout.minRecoveryPoint),
    minRecoveryPointTimeline: view.getUint32(layout.minRecoveryPoint + 8, true),
    backupStartPoint: lsnAt(view, layout.minRecoveryPoint + 16),
    backupEndPoint: lsnAt(view, layout.minRecoveryPoint + 24),
    backupEndRequired: view.getUint8(layout.minRecoveryPoint + 32) !== 0,
    walLevel: named(WAL_LEVELS, view.getInt32(settings, true), 'wal_level'),
    walLogHints: view.getUint8(settings + 4) !== 0,
    requiredSettings: {
      maxConnections: view.getInt32(settings + 8, true),
      maxWorkerProcesses: view.getInt32(settings + 12, true),
      maxWalSenders: view.getInt32(settings + 16, true),
      maxPreparedTransactions: view.getInt32(settings + 20, true),
      maxLocksPerTransaction: view.getInt32(settings + 24, true),
    },
    blockSize: view.getUint32(layout.sizes, true),
    relationSegmentBlocks: view.getUint32(layout.sizes + 4, true),
    walBlockSize: view.getUint32(layout.sizes + 8, true),
    walSegmentBytes: view.getUint32(layout.sizes + 12, true),
    dataChecksumVersion: checksumVersion,
    charSignedness: charSignednessOf(view, layout),
  };
  if (!isSegmentSize(control.walSegmentBytes)) {
    throw damaged(`${control.walSegmentBytes} bytes is no WAL segment size`);
  }
  return control;
}

/**
 * True when the file looks like one that was read while the server wrote it: the version is known, or not there yet,
 * and the checksum does not match. Read it again; if the same bytes come twice, it is damaged.
 */
export function isControlFileTorn(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 12) return true;
  const layout = layoutOf(view);
  if (layout === undefined) return view.getUint32(8, true) === 0;
  return !hasValidCrc(view, layout);
}

function requireLayout(view: DataView): ControlFileLayout {
  if (view.byteLength < 12) throw damaged(`it has only ${view.byteLength} bytes`);
  const layout = layoutOf(view);
  if (layout === undefined) {
    throw new WalnutError(
      'unsupported',
      `read pg_control: control file version ${view.getUint32(8, true)} is not one of PostgreSQL 13 to 18`,
      { hint: 'Walnut reads clusters of PostgreSQL 13 to 18 written on little-endian machines.' },
    );
  }
  if (view.byteLength < layout.crc + 4) throw damaged(`it has only ${view.byteLength} bytes`);
  return layout;
}

function layoutOf(view: DataView): ControlFileLayout | undefined {
  const version = view.getUint32(8, true);
  return KNOWN_VERSIONS.find(({ controlFile }) => controlFile.version === version)?.controlFile;
}

function hasValidCrc(view: DataView, layout: ControlFileLayout): boolean {
  if (view.byteLength < layout.crc + 4) return false;
  const covered = new Uint8Array(view.buffer, view.byteOffset, layout.crc);
  return crc32c(covered) === view.getUint32(layout.crc, true);
}

function majorOf(layout: ControlFileLayout, catalogVersion: number): MajorVersion {
  const known = KNOWN_VERSIONS.find((version) => version.catalogVersion === catalogVersion);
  if (known?.controlFile.version !== layout.version) {
    throw new WalnutError(
      'unsupported',
      `read pg_control: catalogue version ${catalogVersion} is not one of PostgreSQL 13 to 18`,
      { hint: 'Pre-release and modified servers are not supported.' },
    );
  }
  return known.major;
}

function charSignednessOf(view: DataView, layout: ControlFileLayout): 'signed' | 'unsigned' | null {
  if (layout.charSignedness === null) return null;
  return view.getUint8(layout.charSignedness) !== 0 ? 'signed' : 'unsigned';
}

function lsnAt(view: DataView, offset: number): Lsn {
  return toLsn(view.getBigUint64(offset, true));
}

function timeAt(view: DataView, offset: number): Date {
  // pg_time_t counts seconds; a time beyond what Date can hold comes from a broken clock and must not stop us.
  const seconds = view.getBigInt64(offset, true);
  const limit = 8_640_000_000_000n;
  const clamped = seconds > limit ? limit : seconds < -limit ? -limit : seconds;
  return new Date(Number(clamped) * 1000);
}

function timelineAtOffset(view: DataView, offset: number): TimelineId {
  const value = view.getUint32(offset, true);
  if (value === 0) throw damaged('timeline 0 does not exist');
  return toTimelineId(value);
}

function named<Name extends string>(names: readonly Name[], index: number, what: string): Name {
  const name = names[index];
  if (name === undefined) throw damaged(`${what} ${index} does not exist`);
  return name;
}

function damaged(reason: string, hint?: string): WalnutError {
  return new WalnutError('object-damaged', `read pg_control: ${reason}`, { hint });
}
