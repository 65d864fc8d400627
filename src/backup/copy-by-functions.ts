/**
 * Copies a cluster between the server's start and stop functions (the non-exclusive low-level API), for the sources
 * `local` and `connection`.
 */
import { startBackup, stopBackup } from '../postgres/connection/backup-functions.ts';
import { parseBackupLabel } from '../postgres/cluster/backup-label.ts';
import {
  CONTROL_FILE_BYTES,
  CONTROL_FILE_PATH,
  isControlFileTorn,
  parseControlFile,
} from '../postgres/cluster/control-file.ts';
import { toTimelineId, type TimelineId } from '../postgres/timeline-id.ts';
import { sleep } from '../lib/sleep.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { backupIdOf } from '../repository/backup-id.ts';
import { warnOf, type BackupContext, type GroundedContext } from './backup-context.ts';
import type { FunctionsSource } from './choose-source.ts';
import { withCheckpointLimit } from './connect.ts';
import type { ClusterSource } from './cluster-source.ts';
import type { CopiedCluster } from './copied-cluster.ts';
import { copyFiles, type CopyResult } from './copy-files.ts';
import { CopyWorkers } from './copy-workers.ts';
import { decideGround, type BackupGround } from './decide-ground.ts';
import { readExternalFiles } from './external-files.ts';
import { listFiles } from './list-files.ts';
import { noteAttempt } from './note-attempt.ts';

const CONTROL_FILE_ATTEMPTS = 10;
const CONTROL_FILE_PAUSE_MS = 50;

export async function copyByFunctions(
  context: BackupContext,
  source: FunctionsSource,
): Promise<CopiedCluster> {
  const { options, progress, connected, stamp, signal } = context;
  await using workers = new CopyWorkers(options.jobs, signal);
  progress.waitingForCheckpoint();
  const startedAt = await connected.serverTime();
  const startLsn = await withCheckpointLimit(
    startBackup(connected.session, `walnut ${stamp}`, options.checkpoint === 'fast'),
    options.checkpointTimeoutMs,
  );
  const control = parseControlFile(await readControlFile(source.files, signal));
  // A standby may have followed to another timeline since it was asked: its last restartpoint tells.
  const start = { lsn: startLsn, timeline: toTimelineId(control.timeline) };
  const ground = await decideGround(context, { ...start, control });
  const id = backupIdOf(stamp, ground.type);
  const grounded = { ...context, id, ground };
  await noteAttempt(grounded, { ...start, startedAt });
  const expectedBytes = ground.changes === null ? await connected.expectedBytes() : null;
  progress.started({ id, type: ground.type, startLsn, expectedBytes });
  const copy = await copyAll(grounded, source, { startLsn, workers });
  // After all files of all workers: a standby's end of backup is the minRecoveryPoint of this very copy.
  const controlFile = await readControlFile(source.files, signal);
  const externalFiles = await readExternalFiles(source.files, connected.facts, warnOf(context));
  const { lsn: stopLsn, backupLabel, tablespaceMap } = await stopBackup(connected.session);
  const { startTimeline } = parseBackupLabel(backupLabel);
  requireSameTimeline(ground, start.timeline, startTimeline);
  return {
    ...copy,
    id,
    ground,
    controlFile,
    backupLabel,
    tablespaceMap,
    tablespaces: [...(connected.facts.tablespaces ?? [])],
    fromStandby: connected.isStandby === true,
    externalFiles,
    startLsn,
    stopLsn,
    startedAt,
    finishedAt: await connected.serverTime(),
    timeline: startTimeline,
    stopTimeline: connected.isStandby === true ? standbyTimeline(controlFile) : startTimeline,
  };
}

/** Which WAL tells of changes, and which backups may be parents, was found along the timeline that was seen at the start. */
function requireSameTimeline(ground: BackupGround, seen: TimelineId, started: TimelineId): void {
  if (seen === started || ground.parent === null) return;
  throw new WalnutError(
    'failed',
    `back up on top of ${ground.parent.id}: the backup began on timeline ${started} and not on ${seen}`,
    { hint: 'The server changed its timeline in that moment. Take the backup again.' },
  );
}

async function copyAll(
  context: GroundedContext,
  source: FunctionsSource,
  { startLsn, workers }: { readonly startLsn: bigint; readonly workers: CopyWorkers },
): Promise<CopyResult> {
  const { options, progress, connected, id, ground, signal } = context;
  const files = listFiles({
    source: source.files,
    majorVersion: connected.majorVersion,
    innerTablespaces: connected.innerTablespaces,
    warn: warnOf(context),
  });
  const { changes, damage, earlier: parent } = ground;
  const { store } = options;
  // What a full backup takes from earlier ones it has read and compared.
  const paranoid = options.paranoid || ground.parent === null;
  const earlier = { store, parent, attempts: context.attempts, warn: warnOf(context) };
  return copyFiles(
    files,
    { earlier, rules: { changes, paranoid, damage } },
    {
      store: options.store,
      server: options.server,
      id,
      source: source.workerSource,
      workers,
      level: options.level,
      rateBytesPerSecond: options.rateBytesPerSecond,
      verifyChecksums: connected.facts.dataChecksums,
      startLsn,
      sharing: ground.type === 'full' ? 'frames' : 'pages',
      earlierChunks: parent?.chunks ?? [],
      progress,
      signal,
    },
  );
}

/** A live read may be torn while the server writes the file: its checksum tells. */
async function readControlFile(files: ClusterSource, signal: AbortSignal): Promise<Buffer> {
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await files.readSmallFile(CONTROL_FILE_PATH, CONTROL_FILE_BYTES);
    if (bytes !== null && bytes.length === CONTROL_FILE_BYTES && !isControlFileTorn(bytes)) {
      return bytes;
    }
    if (attempt === CONTROL_FILE_ATTEMPTS) {
      throw new WalnutError(
        'failed',
        `read ${CONTROL_FILE_PATH}: its checksum does not match in ${attempt} reads`,
        {
          hint: 'The control file on the server is damaged; do not restart the server before you have looked at its disk.',
        },
      );
    }
    await sleep(CONTROL_FILE_PAUSE_MS, signal);
  }
}

function standbyTimeline(controlFile: Buffer): ReturnType<typeof toTimelineId> {
  const { minRecoveryPointTimeline, timeline } = parseControlFile(controlFile);
  return toTimelineId(minRecoveryPointTimeline === 0 ? timeline : minRecoveryPointTimeline);
}
