import type { BackupProgress } from '../backup/progress.ts';
import { formatLsn } from '../postgres/lsn.ts';
import type { Output } from './render/output.ts';

/** A backup's progress on a terminal: notes as lines, the copy as a bar. */
export function showBackupProgress(output: Output): BackupProgress {
  const bar = output.startProgress('waiting for a checkpoint');
  let readBytes = 0;
  let expectedBytes: number | null = null;
  return {
    note: (text) => output.note(text),
    warning: (text) => output.note(`warning: ${text}`),
    waitingForCheckpoint: () => bar.relabel('waiting for a checkpoint'),
    started: (facts) => {
      expectedBytes = facts.expectedBytes;
      bar.relabel(`copying ${facts.id}`);
    },
    copied: (bytes) => {
      readBytes += bytes;
      bar.update(readBytes, expectedBytes === null ? null : Math.max(expectedBytes, readBytes));
    },
    waitingForWal: (stopLsn) => bar.relabel(`waiting for WAL up to ${formatLsn(stopLsn)}`),
  };
}
