import type { PlannedWal } from './plan-wal.ts';
import type { RecoveryEnd } from './recovery-end.ts';
import { shellQuote } from './shell-quote.ts';

/** What PostgreSQL runs to get a WAL file, and the facts it needs; the paths are absolute. */
export type RestoreCommandProgram = {
  /** `bin/walnut-restore-command`. */
  readonly shimPath: string;
  /** Null when the configuration came from the environment, which a server does not have. */
  readonly configPath: string | null;
};

export type RestoreCommandPlan = {
  readonly server: string;
  readonly incarnation: string;
  readonly end: RecoveryEnd;
  readonly wal: PlannedWal;
  /** A standby goes on when new WAL is stored: it has no last segment. */
  readonly standby: boolean;
};

/**
 * The words of the command, without PostgreSQL's placeholders. They hold the plan's end, because only "beyond the end of
 * the plan" may be answered by an exit code that PostgreSQL takes for the end of WAL (POSTGRES.md 0.3).
 */
export function restoreCommandWords(
  { shimPath, configPath }: RestoreCommandProgram,
  { server, incarnation, end, wal, standby }: RestoreCommandPlan,
): string[] {
  const last = wal.lastSegment ?? end.lastSegment;
  return [
    shimPath,
    ...(configPath === null ? [] : ['--config', configPath]),
    '--incarnation',
    incarnation,
    ...(standby ? [] : ['--last-segment', last, '--last-timeline', String(end.timeline)]),
    server,
  ];
}

/** The value of `restore_command`; PostgreSQL replaces %f and %p, and would also replace any other % in it. */
export function restoreCommandSetting(words: readonly string[]): string {
  const quoted = words.map((word) => shellQuote(word).replaceAll('%', '%%'));
  return [...quoted, '"%f"', '"%p"'].join(' ');
}
