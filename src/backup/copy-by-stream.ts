/** Copies a cluster by one `BASE_BACKUP`: for a role that may replicate and nothing else. */
import { isAbsolute } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
import { parseBackupLabel } from '../postgres/cluster/backup-label.ts';
import { CONTROL_FILE_PATH, isControlFileTorn } from '../postgres/cluster/control-file.ts';
import { formatTablespaceMap } from '../postgres/cluster/tablespace-map.ts';
import { missingGrants } from '../postgres/connection/grants.ts';
import { openReplicationConnection } from '../postgres/replication/replication-connection.ts';
import {
  streamBaseBackup,
  type BaseBackupResult,
  type WalPosition,
} from '../postgres/replication/base-backup-stream.ts';
import type { Session } from '../postgres/connection/session.ts';
import { backupIdOf } from '../repository/backup-id.ts';
import { warnOf, type BackupContext, type GroundedContext } from './backup-context.ts';
import type { BackupGround } from './decide-ground.ts';
import { noteAttempt } from './note-attempt.ts';
import { withCheckpointLimit, type BackupConnection } from './connect.ts';
import type { CopiedCluster } from './copied-cluster.ts';
import { FileCopy } from './copy-files.ts';
import { CopyWorkers } from './copy-workers.ts';
import { StreamTasks } from './stream-tasks.ts';

const KB = 1024;

export async function copyByStream(begun: BackupContext): Promise<CopiedCluster> {
  const context = await groundForStream(begun);
  const { connected, id, ground } = context;
  const startedAt = await connected.serverTime();
  const session = await replicationSession(context);
  try {
    const copied = await receive(context, session, startedAt);
    if (copied.result.checksumFailure && copied.damage.length === 0) {
      warnOf(context)(
        'the server reported checksum failures in pages that were sound when they arrived',
      );
    }
    const { result, ...files } = copied;
    const { from } = parseBackupLabel(copied.backupLabel);
    return {
      ...files,
      id,
      ground,
      tablespaces: tablespacesOf(connected, result),
      fromStandby: from === 'standby',
      timeline: result.start.timeline,
      stopTimeline: result.end.timeline,
      startLsn: result.start.lsn,
      stopLsn: result.end.lsn,
      startedAt,
      finishedAt: await connected.serverTime(),
      externalFiles: [],
    };
  } finally {
    if (session !== connected.session) await session.close();
  }
}

/** A base backup cannot be told to leave out what did not change. */
async function groundForStream(context: BackupContext): Promise<GroundedContext> {
  const { options, connected, stamp } = context;
  if (options.type !== null && options.type !== 'full') {
    const how = await howToReadOverSql(connected);
    warnOf(context)(
      `full backup instead of ${options.type}: source stream takes the whole cluster in one piece; ${how}`,
    );
  }
  return { ...context, id: backupIdOf(stamp, 'full'), ground: WHOLE_AND_ALONE };
}

async function howToReadOverSql({ session, sqlRefusal }: BackupConnection): Promise<string> {
  if (sqlRefusal !== null)
    return `to let this role read over SQL: ${sqlRefusal.hint ?? sqlRefusal.reason}`;
  const missing = await missingGrants(session, 'connection');
  return missing.length === 0
    ? 'use --from connection'
    : `to let this role read over SQL, run as a superuser: ${missing.join(' ')}`;
}

const WHOLE_AND_ALONE: BackupGround = {
  type: 'full',
  parent: null,
  earlier: null,
  changeSource: null,
  changes: null,
  damage: new Map(),
};

/** Where the backup's own connection takes replication commands it does, so that no second WAL sender is used. */
async function replicationSession({
  options,
  connected,
  progress,
  signal,
}: BackupContext): Promise<Session> {
  if (connected.sqlRefusal !== null) return connected.session;
  // The backup's own server, where the list has several hosts.
  const settings = { ...options.connection, hosts: [connected.session.host] };
  const { session, fallback } = await openReplicationConnection(settings, {
    applicationName: 'walnut backup',
    signal,
  });
  if (fallback !== null) progress.note(fallback);
  return session;
}

/** BASE_BACKUP says where tablespaces lie, SQL also what they are called. */
function tablespacesOf(
  { facts }: BackupConnection,
  { tablespaces }: BaseBackupResult,
): CopiedCluster['tablespaces'] {
  if (facts.tablespaces !== null) return [...facts.tablespaces];
  return tablespaces.flatMap(({ oid, location }) =>
    oid === null || location === null ? [] : [{ oid, name: null, location }],
  );
}

type Received = Omit<
  CopiedCluster,
  | 'id'
  | 'ground'
  | 'timeline'
  | 'stopTimeline'
  | 'startLsn'
  | 'stopLsn'
  | 'startedAt'
  | 'finishedAt'
  | 'tablespaces'
  | 'fromStandby'
  | 'externalFiles'
> & { readonly result: BaseBackupResult };

/** The copy begins with the server's checkpoint: only then is the start LSN known, which page checks need. */
async function receive(
  context: GroundedContext,
  session: Session,
  startedAt: Date,
): Promise<Received> {
  const { options, progress, signal, id } = context;
  const begun = Promise.withResolvers<void>();
  await using workers = new CopyWorkers(options.jobs, signal);
  let copy: FileCopy | null = null;
  let number = 0;
  const tasks = new StreamTasks(async ({ items, bytes }) => {
    if (copy === null) throw new Error('the stream brought files before its start');
    const task = { number, items };
    number += 1;
    await workers.send({ kind: 'pushed', task, bytes }, [bytes.buffer]);
  });
  progress.waitingForCheckpoint();
  const streaming = streamBaseBackup(
    session,
    { ...streamOptions(context), signal },
    {
      begin: async (start, tablespaces) => {
        begun.resolve();
        await noteAttempt(context, { ...start, startedAt });
        const sizes = tablespaces.map(({ sizeKb }) => sizeKb ?? 0);
        const expectedBytes = sizes.reduce((sum, size) => sum + size, 0) * KB;
        progress.started({ id, type: 'full', startLsn: start.lsn, expectedBytes });
        copy = newCopy({ ...context, workers }, start, tasks);
      },
      archive: async ({ oid }) => tasks.beginArchive(oid),
      data: async (bytes) => tasks.feed(bytes),
      archiveEnd: () => tasks.endArchive(),
    },
  );
  await withCheckpointLimit(Promise.race([begun.promise, streaming]), options.checkpointTimeoutMs);
  const result = await streaming;
  await tasks.finish();
  const files = await requireCopy(copy).finish();
  return { ...files, ...keptFiles(context, { kept: tasks.kept, result }), result };
}

function requireCopy(copy: FileCopy | null): FileCopy {
  if (copy === null) throw new Error('the base backup ended without a start');
  return copy;
}

function newCopy(
  context: GroundedContext & { readonly workers: CopyWorkers },
  start: WalPosition,
  tasks: StreamTasks,
): FileCopy {
  const { options, progress, connected, signal, id, workers } = context;
  return new FileCopy(
    {
      store: options.store,
      server: options.server,
      id,
      source: { kind: 'pushed' },
      workers,
      level: options.level,
      // The server itself keeps to the rate.
      rateBytesPerSecond: null,
      verifyChecksums: connected.facts.dataChecksums,
      startLsn: start.lsn,
      sharing: 'frames',
      earlierChunks: [],
      progress,
      signal,
    },
    { sorted: false, hashes: tasks.hashes },
  );
}

/**
 * 15 leaves in-place tablespaces (a developer option) out of a base backup with TABLESPACE_MAP; without it they come as
 * plain folders among the data directory's files, and the map is made here. So also where it is not known whether there
 * are any: then a tablespace's path that is too long for tar fails the backup, but nothing is left out of it silently.
 */
function hidesTablespaces({ connected }: BackupContext): boolean {
  const { tablespaces } = connected.facts;
  const mayBeInPlace = tablespaces?.some(({ location }) => !isAbsolute(location)) ?? true;
  return mayBeInPlace && connected.majorVersion < 16;
}

function streamOptions(context: BackupContext): Parameters<typeof streamBaseBackup>[1] {
  const { options, stamp } = context;
  const rate = options.rateBytesPerSecond;
  const maxRateKb = rate === null ? null : Math.min(1_048_576, Math.max(32, Math.floor(rate / KB)));
  return {
    label: `walnut ${stamp}`,
    fastCheckpoint: options.checkpoint === 'fast',
    maxRateKb,
    manifestChecksums: null,
    tablespaceMap: !hidesTablespaces(context),
  };
}

function keptFiles(
  { connected }: BackupContext,
  { kept, result }: Pick<StreamTasks, 'kept'> & { readonly result: BaseBackupResult },
): Pick<CopiedCluster, 'controlFile' | 'backupLabel' | 'tablespaceMap'> {
  const controlFile = kept.get(CONTROL_FILE_PATH);
  const backupLabel = kept.get('backup_label');
  if (controlFile === undefined || backupLabel === undefined || isControlFileTorn(controlFile)) {
    throw new WalnutError(
      'failed',
      'receive a base backup: the server sent no sound pg_control and backup_label',
      {
        hint: 'Take the backup again; if it happens again, look at the server log and its disk.',
      },
    );
  }
  const tablespaceMap = kept.get('tablespace_map') ?? mapOf(connected, result);
  return { controlFile, backupLabel, tablespaceMap };
}

function mapOf(connected: BackupConnection, result: BaseBackupResult): Buffer {
  const outside = tablespacesOf(connected, result).filter(({ location }) => isAbsolute(location));
  return Buffer.from(formatTablespaceMap(outside, connected.majorVersion), 'utf8');
}
