import { sleep } from '../lib/sleep.ts';
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { Lsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumberBefore } from '../postgres/segment-name.ts';
import { toTimelineId } from '../postgres/timeline-id.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import type { WalScope } from '../catalog/wal-inventory.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { switchWal, type SwitchedWal } from './server-wal.ts';

const POLL_MS = 100;

export type SwitchRequest = {
  readonly store: ObjectStore;
  readonly scope: WalScope;
  readonly connection: ConnectionSettings;
  /** How long to wait until the segment is stored. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
};

export type SwitchOutcome = {
  readonly lsn: Lsn;
  readonly segment: string;
  /** False when the time was over before. */
  readonly stored: boolean;
};

/** Finishes the server's current segment and waits until the repository has it. */
export async function switchSegment(request: SwitchRequest): Promise<SwitchOutcome> {
  const { store, scope, connection, timeoutMs, signal } = request;
  const session = await openSession(connection, { applicationName: 'walnut', signal });
  let switched: SwitchedWal;
  try {
    switched = await switchWal(session);
  } finally {
    await session.close();
  }
  const { incarnation, server } = scope;
  const timeline = toTimelineId(switched.timeline);
  const number = segmentNumberBefore(switched.lsn, incarnation.walSegmentBytes);
  const segment = formatSegmentName({ timeline, number }, incarnation.walSegmentBytes);
  const place = { server, incarnation: nameOfIncarnation(incarnation), timeline };
  const key = walKeys.segment(place, segment);
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const stored = (await store.stat(key)) !== null;
    if (stored || Date.now() >= deadline) return { lsn: switched.lsn, segment, stored };
    await sleep(POLL_MS, signal);
  }
}
