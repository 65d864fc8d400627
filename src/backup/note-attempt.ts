import { formatLsn } from '../postgres/lsn.ts';
import type { WalPosition } from '../postgres/replication/base-backup-stream.ts';
import { storeAttempt } from '../repository/attempt.ts';
import type { GroundedContext } from './backup-context.ts';
import { thisHost } from '../lib/this-process.ts';

/** Stored before the first page, so that what a dead backup left is understood. */
export async function noteAttempt(
  { options, connected, source, id, ground }: GroundedContext,
  start: WalPosition & { readonly startedAt: Date },
): Promise<void> {
  await storeAttempt(
    options.store,
    { server: options.server, id },
    {
      version: 1,
      type: ground.type,
      parent: ground.parent?.id ?? null,
      source: source.kind,
      systemIdentifier: String(connected.systemIdentifier),
      timeline: start.timeline,
      startLsn: formatLsn(start.lsn),
      startedAt: start.startedAt.toISOString(),
      owner: { command: 'backup', ...thisHost() },
    },
  );
}
