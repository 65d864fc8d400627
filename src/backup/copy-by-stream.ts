/** Copies a cluster by one `BASE_BACKUP`: for a role that may replicate and nothing else. */
import { isAbsolute } from 'node:path';
import { WalnutError } from '../lib/walnut-error.ts';
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
import { withCheckpointLimit } from './connect.ts';
import type { CopiedCluster } from './copied-cluster.ts';
import { FileCopy } from './copy-files.ts';
import { StreamTasks } from './stream-tasks.ts';

const KB = 1024;

export async function copyByStream(begun: BackupContext): Promise<CopiedCluster> {
  const context = await groundForStream(begun);
  const { options, progress, connected, signal, id, ground } = context;
  const startedAt = await connected.serverTime();
  const connection = await openReplicationConnection(options.connection, {
    applicationName: 'walnut backup',
    signal,
  });
  if (connection.fallback !== null) progress.note(connection.fallback);
  try {
    const copied = await receive(context, connection.session, startedAt);
    if (copied.result.checksumFailure && copied.damage.length === 0) {
      warnOf(context)(
        'the server reported checksum failures in pages that were sound when they arrived',
      );
    }
    const { result, ...files } = copied;
    return {
      ...files,
      id,
      ground,
      timeline: result.start.timeline,
      stopTimeline: result.end.timeline,
      startLsn: result.start.lsn,
      stopLsn: result.end.lsn,
      startedAt,
      finishedAt: await connected.serverTime(),
      externalFiles: [],
    };
  } finally {
    await connection.session.close();
  }
}

/** A base backup cannot be told to leave out what did not change. */
async function groundForStream(context: BackupContext): Promise<GroundedContext> {
  const { options, connected, stamp } = context;
  if (options.type !== null && options.type !== 'full') {
    const missing = await missingGrants(connected.session, 'connection');
    const how =
      missing.length === 0
        ? 'use --from connection'
        : `to let this role read over SQL, run as a superuser: ${missing.join(' ')}`;
    warnOf(context)(
      `full backup instead of ${options.type}: source stream takes the whole cluster in one piece; ${how}`,
    );
  }
  return { ...context, id: backupIdOf(stamp, 'full'), ground: WHOLE_AND_ALONE };
}

const WHOLE_AND_ALONE: BackupGround = {
  type: 'full',
  parent: null,
  earlier: null,
  changeSource: null,
  changes: null,
  damage: new Map(),
};

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
  let copy: FileCopy | null = null;
  let number = 0;
  const tasks = new StreamTasks(async ({ items, bytes }) => {
    if (copy === null) throw new Error('the stream brought files before its start');
    const task = { number, items };
    number += 1;
    await copy.workers.send({ kind: 'pushed', task, bytes }, [bytes.buffer]);
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
        copy = newCopy(context, start, tasks);
      },
      archive: async ({ oid }) => tasks.beginArchive(oid),
      data: async (bytes) => tasks.feed(bytes),
      archiveEnd: () => tasks.endArchive(),
    },
  );
  try {
    await withCheckpointLimit(
      Promise.race([begun.promise, streaming]),
      options.checkpointTimeoutMs,
    );
    const result = await streaming;
    await tasks.finish();
    const running = requireCopy(copy);
    const files = await running.finish();
    return { ...files, ...keptFiles(context, tasks), result };
  } finally {
    await (copy as FileCopy | null)?.workers.terminate();
  }
}

function requireCopy(copy: FileCopy | null): FileCopy {
  if (copy === null) throw new Error('the base backup ended without a start');
  return copy;
}

function newCopy(context: GroundedContext, start: WalPosition, tasks: StreamTasks): FileCopy {
  const { options, progress, connected, signal, id } = context;
  return new FileCopy(
    {
      store: options.store,
      server: options.server,
      id,
      source: { kind: 'pushed' },
      jobs: options.jobs,
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
 * plain folders among the data directory's files, and the map is made here.
 */
function hidesTablespaces({ connected }: BackupContext): boolean {
  const isInPlace = connected.facts.tablespaces.some(({ location }) => !isAbsolute(location));
  return isInPlace && connected.majorVersion < 16;
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
  context: BackupContext,
  { kept }: StreamTasks,
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
  return { controlFile, backupLabel, tablespaceMap: kept.get('tablespace_map') ?? mapOf(context) };
}

function mapOf({ connected }: BackupContext): Buffer {
  const outside = connected.facts.tablespaces.filter(({ location }) => isAbsolute(location));
  return Buffer.from(formatTablespaceMap(outside, connected.majorVersion), 'utf8');
}
