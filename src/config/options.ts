/**
 * Every configuration key, once: from this table come validation, environment variables and
 * `docs/reference/configuration.md`. A key with dots is nested: `retention.window` is `window` under `[server.NAME.retention]`.
 */
import { z } from 'zod';
import { checkCron } from './cron-syntax.ts';
import { parseDuration, parseRate } from './quantities.ts';
import type { BackupFrom, WalMode } from './configuration.ts';

export type OptionDeclaration<T> = {
  readonly schema: z.ZodType<T>;
  /** How the value is written; an environment variable of an integer is read as a number. */
  readonly form: 'text' | 'integer';
  /** As the reference shows it: `DURATION`, `"stream"`, `"archive"` or `"both"`. */
  readonly value: string;
  /** As it would be written in the file; null when there is none. */
  readonly default: string | number | null;
  /** What holds without the key when that is no constant. */
  readonly defaultText?: string;
  readonly help: string;
  readonly required?: boolean;
  /** The value may hold a password: it is never quoted in a message. */
  readonly secret?: boolean;
  /** Taken from the environment only; the text says what to write in the file instead. */
  readonly environmentOnly?: string;
  /** Checked but not acted on by this release; the text says why. */
  readonly inactive?: string;
};

export type OptionTable<T> = { readonly [K in keyof T]-?: OptionDeclaration<T[K]> };

export type RepositoryValues = { readonly url: string };

export type DaemonValues = { readonly listen: string | undefined };

export type ServerValues = {
  readonly connection: string;
  readonly password: string | undefined;
  readonly password_file: string | undefined;
  readonly password_command: string | undefined;
  readonly data_directory: string | undefined;
  readonly repository: string | undefined;
  readonly wal: WalMode;
  readonly slot: string | undefined;
  readonly application_name: string;
  readonly spool_directory: string | undefined;
  readonly backup_from: BackupFrom;
  readonly jobs: number;
  readonly level: number;
  readonly rate: number | undefined;
  readonly piece_interval: number;
  readonly connect_timeout: number;
  readonly wal_timeout: number;
  readonly checkpoint_timeout: number;
  readonly 'retention.window': number | undefined;
  readonly 'retention.keep.full': number | undefined;
  readonly 'retention.keep.daily': number | undefined;
  readonly 'retention.keep.weekly': number | undefined;
  readonly 'retention.keep.monthly': number | undefined;
  readonly 'retention.keep.yearly': number | undefined;
  readonly 'retention.minimum_redundancy': number;
  readonly 'schedule.full': string | undefined;
  readonly 'schedule.differential': string | undefined;
  readonly 'schedule.incremental': string | undefined;
  readonly 'schedule.drill': string | undefined;
  readonly 'schedule.verify': string | undefined;
};

export const SCHEDULE_JOBS = ['full', 'differential', 'incremental', 'drill', 'verify'] as const;

/** More compressing threads than this is a mistake on any machine Walnut was measured on. */
const JOBS_MAX = 128;
const ZSTD_LEVEL_MAX = 19;
const NO_DAEMON = 'this release has no daemon: run the command by cron or a systemd timer';

const text = z.string('expected a text in quotes').min(1, 'is empty');
const duration = quantity(parseDuration);
const path = text.refine((value) => !value.includes('\0'), 'holds a null character');
/** More backups than any repository holds. */
const KEEP_MAX = 100_000;
const keepCount = wholeNumber(0, KEEP_MAX).optional();
const cron = text.superRefine((value, issues) => {
  const problem = checkCron(value);
  if (problem !== null) issues.addIssue({ code: 'custom', message: problem });
});

export const REPOSITORY_OPTIONS: OptionTable<RepositoryValues> = {
  url: {
    schema: text,
    form: 'text',
    value: 'URL',
    default: null,
    required: true,
    help: 'Where backups and WAL are kept: `file:///absolute/path`. Other stores (s3, azure, gs, sftp) are not built yet and are refused.',
  },
};

export const DAEMON_OPTIONS: OptionTable<DaemonValues> = {
  listen: {
    schema: text.regex(/^(?:\[[0-9a-f:]+\]|[^\s:]+):\d{1,5}$/i, 'expected HOST:PORT').optional(),
    form: 'text',
    value: 'HOST:PORT',
    default: null,
    help: 'Address of the daemon.',
    inactive: NO_DAEMON,
  },
};

export const SERVER_OPTIONS: OptionTable<ServerValues> = {
  connection: {
    schema: text,
    form: 'text',
    value: 'URL or keyword/value string',
    default: null,
    required: true,
    secret: true,
    help: "How to reach the server, in libpq's words: `postgresql://walnut@db1:5432/postgres` or `host=db1 user=walnut`. Several hosts may be listed. What is left out comes from the PG* environment variables, the password file and the service file.",
  },
  password: {
    schema: text.optional(),
    form: 'text',
    value: 'TEXT',
    default: null,
    secret: true,
    environmentOnly: 'write password_file or password_command instead',
    help: 'The password, by environment variable only.',
  },
  password_file: {
    schema: path.optional(),
    form: 'text',
    value: 'FILE',
    default: null,
    help: 'A file that holds the password and nothing else.',
  },
  password_command: {
    schema: text.optional(),
    form: 'text',
    value: 'COMMAND',
    default: null,
    help: 'A shell command that prints the password.',
  },
  data_directory: {
    schema: path.optional(),
    form: 'text',
    value: 'DIR',
    default: null,
    help: 'The data directory, where Walnut runs on the database host; backups then read files directly.',
  },
  repository: {
    schema: text.optional(),
    form: 'text',
    value: 'NAME',
    default: null,
    defaultText: 'the only one, when one is configured',
    help: 'Which `[repository.NAME]` keeps this server.',
  },
  wal: {
    schema: z.enum(['stream', 'archive', 'both']),
    form: 'text',
    value: '`"stream"`, `"archive"` or `"both"`',
    default: 'stream',
    help: 'How WAL comes in: through a replication slot, by `archive_command`, or both.',
  },
  slot: {
    schema: text.regex(/^[a-z0-9_]{1,63}$/, 'expected a-z, 0-9 and _, at most 63').optional(),
    form: 'text',
    value: 'NAME',
    default: null,
    defaultText: '`walnut_` and the server name',
    help: 'The replication slot of the receiver.',
  },
  application_name: {
    schema: text.regex(/^[ -~]{1,63}$/, 'expected at most 63 printable ASCII characters'),
    form: 'text',
    value: 'NAME',
    default: 'walnut',
    help: 'The name the receiver shows to the server; `synchronous_standby_names` may list it.',
  },
  spool_directory: {
    schema: path.optional(),
    form: 'text',
    value: 'DIR',
    default: null,
    defaultText: '`.spool/NAME` in the repository',
    help: 'Where the receiver keeps, fsynced, what is not yet stored. Put it on a local disk when the repository is not.',
  },
  backup_from: {
    schema: z.enum(['primary', 'standby', 'prefer-standby']),
    form: 'text',
    value: '`"primary"`, `"standby"` or `"prefer-standby"`',
    default: 'primary',
    help: 'Which of the hosts in `connection` a backup reads.',
  },
  jobs: {
    schema: wholeNumber(1, JOBS_MAX),
    form: 'integer',
    value: 'N',
    default: 2,
    help: 'How many workers back up, restore, verify and push WAL ahead at once; each uses one core and about 100 MB.',
  },
  level: {
    schema: wholeNumber(1, ZSTD_LEVEL_MAX),
    form: 'integer',
    value: '1–19',
    default: 1,
    help: 'zstd level. 3 saves about 5 % of space for half as much again of CPU time.',
  },
  rate: {
    schema: quantity(parseRate).optional(),
    form: 'text',
    value: 'RATE',
    default: null,
    defaultText: 'no limit',
    help: 'How fast a backup may read the server, such as `"50MB/s"`.',
  },
  piece_interval: {
    schema: duration,
    form: 'text',
    value: 'DURATION',
    default: '2 s',
    help: 'How old new WAL of an unfinished segment gets before it is stored as a piece: the recovery point objective of streaming.',
  },
  connect_timeout: {
    schema: duration,
    form: 'text',
    value: 'DURATION',
    default: '10 s',
    help: 'How long to wait for each host of `connection`.',
  },
  wal_timeout: {
    schema: duration,
    form: 'text',
    value: 'DURATION',
    default: '10 min',
    help: 'How long a backup waits at its end for the WAL it needs to be stored.',
  },
  checkpoint_timeout: {
    schema: duration,
    form: 'text',
    value: 'DURATION',
    default: '1 h',
    help: 'How long a backup waits for the checkpoint it begins with.',
  },
  'retention.window': {
    schema: duration.optional(),
    form: 'text',
    value: 'DURATION',
    default: null,
    defaultText: 'since the oldest full backup that `retention.keep.full` keeps',
    help: 'Any moment of this much of the past can be restored. Without any retention key nothing expires.',
  },
  'retention.keep.full': keepOption('How many full backups to keep, the newest ones.'),
  'retention.keep.daily': keepOption('For how many days to keep the last backup of the day.'),
  'retention.keep.weekly': keepOption('For how many weeks to keep the last backup of the week.'),
  'retention.keep.monthly': keepOption('For how many months to keep the last backup of the month.'),
  'retention.keep.yearly': keepOption('For how many years to keep the last backup of the year.'),
  'retention.minimum_redundancy': {
    schema: wholeNumber(1, KEEP_MAX),
    form: 'integer',
    value: 'N',
    default: 1,
    help: 'How many of the newest undamaged backups are kept whatever the other keys say.',
  },
  'schedule.full': cronOption('full backups'),
  'schedule.differential': cronOption('differential backups'),
  'schedule.incremental': cronOption('incremental backups'),
  'schedule.drill': cronOption('drills'),
  'schedule.verify': cronOption('verifications'),
};

/** The environment variable of a key: `WALNUT_SERVER_SHOP_RETENTION_WINDOW`. */
export function environmentName(kind: 'server' | 'repository', name: string, key: string): string {
  return `WALNUT_${kind}_${name}_${key}`.replaceAll(/[.-]/g, '_').toUpperCase();
}

function keepOption(help: string): OptionDeclaration<number | undefined> {
  return {
    schema: keepCount,
    form: 'integer',
    value: 'N',
    default: null,
    help,
  };
}

function cronOption(what: string): OptionDeclaration<string | undefined> {
  return {
    schema: cron.optional(),
    form: 'text',
    value: 'CRON',
    default: null,
    help: `When to run ${what}: minute, hour, day of month, month, day of week.`,
    inactive: NO_DAEMON,
  };
}

function wholeNumber(min: number, max: number): z.ZodNumber {
  const message = `expected a whole number from ${min} to ${max}`;
  return z.int(message).min(min, message).max(max, message);
}

function quantity(parse: (value: string) => number): z.ZodType<number> {
  return text.transform((value, issues) => {
    try {
      return parse(value);
    } catch (error) {
      issues.addIssue({ code: 'custom', message: error instanceof Error ? error.message : '' });
      return z.NEVER;
    }
  });
}
