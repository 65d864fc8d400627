/** What the demo asks of each engine: the same options that the command line would give. */
import { join } from 'node:path';
import type { ReceiverOptions } from '../archive/receiver.ts';
import type { BackupOptions } from '../backup/backup-options.ts';
import { thisProcess } from '../lib/this-process.ts';
import type { Incarnation } from '../repository/repository.ts';
import type { RestoreRequest } from '../restore/restore-request.ts';
import type { DemoStage } from './stage.ts';

export const SERVER = 'shop';

const JOBS = 2;
const LEVEL = 1;
/** Short, so that the story need not wait for the WAL. */
const PIECE_INTERVAL_MS = 300;
const WAIT_MS = 60_000;

export function receiverOptions(stage: DemoStage, incarnation: Incarnation): ReceiverOptions {
  return {
    store: stage.store,
    server: SERVER,
    incarnation,
    level: LEVEL,
    connection: stage.settings,
    slot: 'walnut_demo',
    applicationName: 'walnut demo',
    spoolFolder: join(stage.folder, 'spool'),
    pieceIntervalMs: PIECE_INTERVAL_MS,
    owner: thisProcess('walnut demo'),
    onEvent: () => undefined,
  };
}

export function backupOptions(stage: DemoStage, walnutVersion: string): BackupOptions {
  return {
    store: stage.store,
    server: SERVER,
    connection: stage.settings,
    dataDirectory: stage.server.dataFolder,
    backupFrom: 'primary',
    type: 'full',
    from: 'auto',
    fresh: false,
    paranoid: false,
    jobs: JOBS,
    level: LEVEL,
    checkpoint: 'fast',
    name: 'demo',
    rateBytesPerSecond: null,
    checkpointTimeoutMs: WAIT_MS,
    walTimeoutMs: WAIT_MS,
    walSupply: {
      begin: async () => null,
      isArchiver: false,
      hint: 'The demo receives its WAL itself.',
    },
    walnutVersion,
  };
}

/** WAL is laid into the folder: the restored server's user need not reach this installation. */
export function restoreRequest(stage: DemoStage, timeUs: number): RestoreRequest {
  return {
    server: SERVER,
    targetDirectory: join(stage.folder, 'restored'),
    backup: null,
    target: { kind: 'time', timeUs, inclusive: true },
    timeline: null,
    action: 'promote',
    tablespaces: new Map(),
    links: new Map(),
    walDirectory: null,
    wal: 'copy',
    standby: false,
    archiveMode: 'off',
    settings: new Map(),
    owner: process.geteuid?.() === 0 ? stage.user.name : null,
    delta: false,
    rateBytesPerSecond: null,
    jobs: JOBS,
  };
}
