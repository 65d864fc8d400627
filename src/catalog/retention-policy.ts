/**
 * Which backups a policy keeps for what they are. What the recovery window needs besides (its base on every live branch)
 * is decided with the WAL, in `live-branches.ts`.
 */
import type { BackupId } from '../repository/backup-id.ts';
import type { BackupRecord } from './backup-catalog.ts';
import { isKept, type KeepMark } from './keep-mark.ts';

export type RetentionPolicy = {
  /** Any moment of this much of the past can be restored; null for no window. */
  readonly windowMs: number | null;
  /** How many of each to keep; null for no such rule. Days, weeks (from Monday), months and years in UTC. */
  readonly keep: Readonly<Record<KeepRule, number | null>>;
  /** This many of the newest sound backups are kept whatever the rules say; at least one always is. */
  readonly minimumRedundancy: number;
};

type KeepRule = 'full' | CalendarRule;
type CalendarRule = 'daily' | 'weekly' | 'monthly' | 'yearly';

export type KeepReason =
  | KeepRule
  /** It ended inside the recovery window. */
  | 'window'
  /** The window's first moments are restored from it. */
  | 'window-base'
  | 'minimum-redundancy'
  | 'newest'
  | 'marked'
  | 'being-read'
  /** No backup is sound, so none is worth less than another. */
  | 'none-is-sound'
  | 'no-policy';

export type BackupFacts = {
  /** Oldest first, as in the catalog. */
  readonly backups: readonly BackupRecord[];
  /** Backups that do not count, and why: damaged on the server or in the repository, or without their WAL. */
  readonly unsound: ReadonlyMap<BackupId, string>;
  readonly marks: ReadonlyMap<BackupId, KeepMark>;
  readonly beingRead: ReadonlySet<BackupId>;
};

export type KeptBackups = Map<BackupId, KeepReason[]>;

const CALENDAR_RULES: readonly CalendarRule[] = ['daily', 'weekly', 'monthly', 'yearly'];

/** Whether anything is to expire at all: a server without a rule keeps everything. */
export function hasRules({ windowMs, keep }: RetentionPolicy): boolean {
  return windowMs !== null || Object.values(keep).some((count) => count !== null);
}

/**
 * From which moment on any moment is to be restorable. Without a window it is the end of the oldest full backup that
 * `full` keeps, so that redundancy reaches the present from each of them; without that rule it is now.
 */
export function windowBegin(policy: RetentionPolicy, facts: BackupFacts, now: Date): Date {
  if (policy.windowMs !== null) return new Date(now.getTime() - policy.windowMs);
  const oldest = newestFulls(policy, soundBackups(facts)).at(-1);
  return oldest?.finishedAt ?? now;
}

/** The backups that rules, marks and readers keep, each with all its reasons. */
export function keptByRules(policy: RetentionPolicy, facts: BackupFacts, now: Date): KeptBackups {
  const { backups, marks, beingRead } = facts;
  const kept: KeptBackups = new Map();
  const keep = (reason: KeepReason, which: readonly BackupRecord[]): void => {
    for (const { id } of which) kept.set(id, [...(kept.get(id) ?? []), reason]);
  };
  keep(
    'marked',
    backups.filter(({ id }) => isKept(marks.get(id), now)),
  );
  keep(
    'being-read',
    backups.filter(({ id }) => beingRead.has(id)),
  );
  const sound = soundBackups(facts);
  if (!hasRules(policy)) keep('no-policy', backups);
  else if (sound.length === 0) keep('none-is-sound', backups);
  else for (const [reason, which] of byRules(policy, facts, now)) keep(reason, which);
  return kept;
}

function byRules(
  policy: RetentionPolicy,
  facts: BackupFacts,
  now: Date,
): [KeepReason, readonly BackupRecord[]][] {
  const sound = soundBackups(facts);
  const begin = windowBegin(policy, facts, now);
  const hasWindow = policy.windowMs !== null || policy.keep.full !== null;
  const inWindow = facts.backups.filter(({ finishedAt }) => finishedAt >= begin);
  return [
    ['newest', newestOf(facts, sound)],
    ['minimum-redundancy', sound.slice(0, policy.minimumRedundancy)],
    ['window', hasWindow ? inWindow : []],
    ['full', newestFulls(policy, sound)],
    ...CALENDAR_RULES.map((rule): [KeepReason, readonly BackupRecord[]] => [
      rule,
      newestPerPeriod(sound, rule, policy.keep[rule] ?? 0),
    ]),
  ];
}

/** Newest first by the time of their end: LSNs of different branches do not tell. */
function soundBackups({ backups, unsound }: BackupFacts): BackupRecord[] {
  return backups
    .filter(({ id }) => !unsound.has(id))
    .toSorted((first, second) => second.finishedAt.getTime() - first.finishedAt.getTime());
}

/** By time and by position: after a failover to a standby that lagged behind, the two may differ. */
function newestOf(
  { backups, unsound }: BackupFacts,
  sound: readonly BackupRecord[],
): BackupRecord[] {
  const byTime = sound[0];
  const byPosition = backups.findLast(({ id }) => !unsound.has(id));
  return [...new Set([byTime, byPosition])].filter((backup) => backup !== undefined);
}

function newestFulls({ keep }: RetentionPolicy, sound: readonly BackupRecord[]): BackupRecord[] {
  return sound.filter(({ manifest }) => manifest.type === 'full').slice(0, keep.full ?? 0);
}

/** The last backup of each of the newest `count` periods that have one. */
function newestPerPeriod(
  sound: readonly BackupRecord[],
  rule: CalendarRule,
  count: number,
): BackupRecord[] {
  const newest = new Map<string, BackupRecord>();
  for (const backup of sound) {
    const period = periodOf(rule, backup.finishedAt);
    if (!newest.has(period)) newest.set(period, backup);
  }
  return [...newest.values()].slice(0, count);
}

const DAY_MS: number = 24 * 60 * 60 * 1000;

function periodOf(rule: CalendarRule, time: Date): string {
  switch (rule) {
    case 'daily':
      return time.toISOString().slice(0, 10);
    case 'weekly': {
      const daysSinceMonday = (time.getUTCDay() + 6) % 7;
      return new Date(time.getTime() - daysSinceMonday * DAY_MS).toISOString().slice(0, 10);
    }
    case 'monthly':
      return time.toISOString().slice(0, 7);
    case 'yearly':
    default:
      return time.toISOString().slice(0, 4);
  }
}
