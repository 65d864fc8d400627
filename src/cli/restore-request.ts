import type { ServerConfiguration } from '../config/configuration.ts';
import type { TimelineId } from '../postgres/timeline-id.ts';
import type { BackupId } from '../repository/backup-id.ts';
import type { RecoveryAction, RestoreRequest } from '../restore/restore-request.ts';
import type { RecoveryTarget } from '../restore/target.ts';
import { targetChoice, type TargetChoice, type TargetValues } from './restore-options.ts';
import type { Assignment } from './values.ts';

export type RestoreValues = TargetValues & {
  readonly target: string | undefined;
  readonly backup: BackupId | undefined;
  readonly timeline: TimelineId | 'latest' | 'current' | undefined;
  readonly action: RecoveryAction | undefined;
  readonly tablespace: readonly Assignment[];
  readonly link: readonly Assignment[];
  readonly walDirectory: string | undefined;
  readonly wal: 'fetch' | 'copy' | undefined;
  readonly standby: boolean;
  readonly archiveMode: 'off' | 'preserve' | undefined;
  readonly set: readonly Assignment[];
  readonly owner: string | undefined;
  readonly delta: boolean;
  readonly jobs: number | undefined;
  readonly rate: number | undefined;
};

/** What the command line asks of the engine, filled up from the configuration. */
export function restoreRequest(
  values: RestoreValues,
  server: ServerConfiguration,
  now: Date,
): RestoreRequest {
  return {
    server: server.name,
    targetDirectory: values.target ?? '',
    backup: values.backup ?? null,
    target: recoveryTarget(targetChoice(values, now)),
    timeline: values.timeline ?? null,
    action: values.action ?? null,
    tablespaces: mapOf(values.tablespace),
    links: mapOf(values.link),
    walDirectory: values.walDirectory ?? null,
    wal: values.wal ?? 'fetch',
    standby: values.standby,
    archiveMode: values.archiveMode ?? 'off',
    settings: mapOf(values.set),
    owner: values.owner ?? null,
    delta: values.delta,
    rateBytesPerSecond: values.rate ?? null,
    jobs: values.jobs ?? server.jobs,
  };
}

/** Recovery compares the low 32 bits of a transaction id, which is all that WAL holds. */
function recoveryTarget(choice: TargetChoice): RecoveryTarget {
  if (choice.kind !== 'xid') return choice;
  return { ...choice, xid: Number(BigInt(choice.xid) & 0xffff_ffffn) };
}

function mapOf(assignments: readonly Assignment[]): ReadonlyMap<string, string> {
  return new Map(assignments.map(({ name, value }) => [name, value]));
}
