/** How the files of the cluster are reached: the best way that works, and why. */
import { WalnutError, messageOf } from '../lib/walnut-error.ts';
import {
  CONTROL_FILE_BYTES,
  CONTROL_FILE_PATH,
  parseControlFile,
} from '../postgres/cluster/control-file.ts';
import { identifyRunningServer } from '../postgres/connection/running-server.ts';
import { missingGrants } from '../postgres/connection/grants.ts';
import type { Session } from '../postgres/connection/session.ts';
import type { BackupOptions } from './backup-options.ts';
import type { ClusterSource } from './cluster-source.ts';
import type { BackupConnection } from './connect.ts';
import { ConnectionClusterSource } from './connection-source.ts';
import type { WorkerSource } from './copy-messages.ts';
import { LocalClusterSource } from './local-source.ts';

const PID_FILE_BYTES_MAX = 4096;
/** The file is written a moment before the time that the server reports. */
const START_TOLERANCE_S = 10;

/** Files are read between the start and stop functions. */
export type FunctionsSource = {
  readonly kind: 'local' | 'connection';
  /** Why this source: a sentence for the person. */
  readonly reason: string;
  readonly files: ClusterSource;
  readonly workerSource: WorkerSource;
};

type StreamSource = { readonly kind: 'stream'; readonly reason: string };

export type ChosenSource = FunctionsSource | StreamSource;

/** Why a source cannot be used, with the fix; null when it can. */
type Obstacle = { readonly reason: string; readonly hint: string } | null;

export async function chooseSource(
  options: BackupOptions,
  connected: BackupConnection,
): Promise<ChosenSource> {
  if (options.from === 'stream') return { kind: 'stream', reason: 'source stream, as asked' };
  if (connected.sqlRefusal !== null) {
    const { reason } = connected.sqlRefusal;
    return { kind: 'stream', reason: `source stream, because the server takes no SQL (${reason})` };
  }
  const local = await localObstacle(options, connected);
  if (options.from === 'local' || (options.from === 'auto' && local === null)) {
    if (local !== null) throw unusable('local', local);
    return localSource(options, connected, options.from === 'local');
  }
  const connection = await connectionObstacle(connected);
  if (options.from === 'connection' || connection === null) {
    if (connection !== null) throw unusable('connection', connection);
    const why = local === null ? 'as asked' : `because local is not possible (${local.reason})`;
    return {
      kind: 'connection',
      reason: `source connection, ${options.from === 'auto' ? why : 'as asked'}`,
      files: new ConnectionClusterSource(connected.session, connected.facts),
      workerSource: {
        kind: 'connection',
        server: await identifyRunningServer(connected.session, options.connection),
      },
    };
  }
  return {
    kind: 'stream',
    reason:
      `source stream, because local is not possible (${local?.reason ?? 'not asked'}) and connection is not ` +
      `(${connection.reason})`,
  };
}

function localSource(
  { dataDirectory }: BackupOptions,
  { facts }: BackupConnection,
  asked: boolean,
): FunctionsSource {
  const path = dataDirectory ?? facts.dataDirectory ?? '';
  return {
    kind: 'local',
    reason: asked ? 'source local, as asked' : `source local: ${path} can be read on this host`,
    files: new LocalClusterSource(path),
    workerSource: { kind: 'local', dataDirectory: path },
  };
}

/**
 * The data directory must be this very cluster's: on another host the same path may hold another one, so the control
 * file's system identifier and the postmaster's start are compared.
 */
async function localObstacle(
  options: BackupOptions,
  connected: BackupConnection,
): Promise<Obstacle> {
  if (options.dataDirectory === null) {
    return {
      reason: 'no data_directory is configured',
      hint: 'Set data_directory in walnut.toml where Walnut runs on the database host.',
    };
  }
  const functions = await missingGrants(connected.session, 'local');
  if (functions.length > 0) return lackingGrants(functions);
  const source = new LocalClusterSource(options.dataDirectory);
  try {
    const control = await source.readSmallFile(CONTROL_FILE_PATH, CONTROL_FILE_BYTES);
    if (control === null) return notThere(options.dataDirectory);
    if (parseControlFile(control).systemIdentifier !== connected.systemIdentifier) {
      return {
        reason: `${options.dataDirectory} belongs to another cluster`,
        hint: 'Correct data_directory or connection in walnut.toml: they name two different clusters.',
      };
    }
    const isServers = await isDirectoryOf(source, connected.session);
    return isServers ? null : notServers(options.dataDirectory);
  } catch (error) {
    return {
      reason: messageOf(error),
      hint: (error instanceof WalnutError ? error.hint : undefined) ?? 'Check data_directory.',
    };
  }
}

async function connectionObstacle(connected: BackupConnection): Promise<Obstacle> {
  const functions = await missingGrants(connected.session, 'connection');
  return functions.length === 0 ? null : lackingGrants(functions);
}

function lackingGrants(statements: readonly string[]): Obstacle {
  return {
    reason: 'the role lacks EXECUTE on functions it needs',
    hint: `Run as a superuser, in the database that Walnut connects to: ${statements.join(' ')}`,
  };
}

function notThere(path: string): Obstacle {
  return {
    reason: `${path} holds no cluster`,
    hint: 'Correct data_directory in walnut.toml; it is what SHOW data_directory prints on the server.',
  };
}

/** An old copy, or the data directory of a standby on the same host. */
function notServers(path: string): Obstacle {
  return {
    reason: `the server that answers does not run on ${path}`,
    hint: 'Correct data_directory in walnut.toml; it is what SHOW data_directory prints on the server.',
  };
}

/**
 * Two clusters with one system identifier (a standby, a copy) differ in when their postmaster started: line 3 of
 * postmaster.pid (src/include/utils/pidfile.h).
 */
async function isDirectoryOf(files: ClusterSource, session: Session): Promise<boolean> {
  const pidFile = await files.readSmallFile('postmaster.pid', PID_FILE_BYTES_MAX);
  const startedHere = Number(pidFile?.toString('utf8').split('\n')[2] ?? Number.NaN);
  const rows = await session.query<{ started: string }>(
    'SELECT extract(epoch FROM pg_postmaster_start_time())::bigint::text AS started',
    { act: 'ask the server when it started' },
  );
  return Math.abs(startedHere - Number(rows[0]?.started)) <= START_TOLERANCE_S;
}

function unusable(kind: string, obstacle: NonNullable<Obstacle>): WalnutError {
  return new WalnutError('permission', `back up from source ${kind}: ${obstacle.reason}`, {
    hint: obstacle.hint,
  });
}
