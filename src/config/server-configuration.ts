import { join } from 'node:path';
import type {
  RepositoryConfiguration,
  RetentionConfiguration,
  ScheduleConfiguration,
  ServerConfiguration,
} from './configuration.ts';
import type { NamedSection } from './named-sections.ts';
import { nearest } from './nearest.ts';
import { SCHEDULE_JOBS, type ServerValues } from './options.ts';
import type { PasswordSource } from './password.ts';
import { Secret } from './secret.ts';
import type { Validated } from './settings.ts';
import { configurationError, type Origin } from './source.ts';

export type ServerSurroundings = {
  readonly repositories: ReadonlyMap<string, RepositoryConfiguration>;
  /** Paths of the file are relative to the file's folder, those of the environment to the working directory. */
  readonly toAbsolute: (path: string, origin: Origin) => string;
};

/** PostgreSQL's NAMEDATALEN less one. */
const SLOT_NAME_MAX = 63;

/** The typed configuration of a server from its validated keys. */
export function buildServer(
  section: NamedSection,
  { values, origins }: Validated<ServerValues>,
  { repositories, toAbsolute }: ServerSurroundings,
): ServerConfiguration {
  const { name } = section;
  const repository = chooseRepository(values.repository, {
    repositories,
    origin: origins.get('repository') ?? section.origin,
    title: `[server.${name}]`,
  });
  const absolute = (key: keyof ServerValues, path: string | undefined): string | null =>
    path === undefined ? null : toAbsolute(path, origins.get(key) ?? section.origin);
  return {
    name,
    connection: new Secret(values.connection),
    password: passwordSource(values, {
      section,
      origins,
      file: absolute('password_file', values.password_file),
    }),
    dataDirectory: absolute('data_directory', values.data_directory),
    repository,
    wal: values.wal,
    slot: values.slot ?? defaultSlot(name),
    applicationName: values.application_name,
    spoolDirectory:
      absolute('spool_directory', values.spool_directory) ?? join(repository.path, '.spool', name),
    backupFrom: values.backup_from,
    jobs: values.jobs,
    level: values.level,
    rateBytesPerSecond: values.rate ?? null,
    pieceIntervalMs: values.piece_interval,
    connectTimeoutMs: values.connect_timeout,
    walTimeoutMs: values.wal_timeout,
    checkpointTimeoutMs: values.checkpoint_timeout,
    retention: retention(values),
    schedule: schedule(values),
  };
}

/** Slot names allow no hyphen. */
function defaultSlot(server: string): string {
  return `walnut_${server.replaceAll('-', '_')}`.slice(0, SLOT_NAME_MAX);
}

function chooseRepository(
  wanted: string | undefined,
  choice: {
    readonly repositories: ReadonlyMap<string, RepositoryConfiguration>;
    readonly origin: Origin;
    readonly title: string;
  },
): RepositoryConfiguration {
  const { repositories, origin, title } = choice;
  const names = [...repositories.keys()];
  if (wanted === undefined) {
    const [only, ...others] = repositories.values();
    if (only !== undefined && others.length === 0) return only;
    throw configurationError(
      origin,
      only === undefined
        ? `${title} has no repository, because none is configured`
        : `${title} has no key "repository", and there are several`,
      only === undefined
        ? 'Add [repository.main] with url = "file:///absolute/path".'
        : `Known repositories: ${names.join(', ')}.`,
    );
  }
  const repository = repositories.get(wanted);
  if (repository !== undefined) return repository;
  const similar = nearest(wanted, names);
  throw configurationError(
    origin,
    `"repository" = ${JSON.stringify(wanted)}: there is no [repository.${wanted}]`,
    similar === null
      ? `Known repositories: ${names.join(', ') || 'none'}.`
      : `Did you mean ${similar}?`,
  );
}

function passwordSource(
  values: ServerValues,
  context: {
    readonly section: NamedSection;
    readonly origins: ReadonlyMap<string, Origin>;
    readonly file: string | null;
  },
): PasswordSource | null {
  const { section, origins, file } = context;
  const sources: PasswordSource[] = [];
  const key = (name: string): string => `server.${section.name}.${name}`;
  if (values.password !== undefined) {
    sources.push({ kind: 'value', key: key('password'), value: new Secret(values.password) });
  }
  if (file !== null) sources.push({ kind: 'file', key: key('password_file'), path: file });
  if (values.password_command !== undefined) {
    const command = values.password_command;
    sources.push({ kind: 'command', key: key('password_command'), command });
  }
  if (sources.length > 1) {
    throw configurationError(
      origins.get('password_command') ?? origins.get('password_file') ?? section.origin,
      `[server.${section.name}] has more than one source of its password: ${sources.map((source) => source.key).join(', ')}`,
      'Leave one.',
    );
  }
  return sources[0] ?? null;
}

function retention(values: ServerValues): RetentionConfiguration {
  return {
    windowMs: values['retention.window'] ?? null,
    keep: {
      full: values['retention.keep.full'] ?? null,
      daily: values['retention.keep.daily'] ?? null,
      weekly: values['retention.keep.weekly'] ?? null,
      monthly: values['retention.keep.monthly'] ?? null,
      yearly: values['retention.keep.yearly'] ?? null,
    },
    minimumRedundancy: values['retention.minimum_redundancy'],
  };
}

function schedule(values: ServerValues): ScheduleConfiguration | null {
  const entries = SCHEDULE_JOBS.flatMap((job) => {
    const cron = values[`schedule.${job}`];
    return cron === undefined ? [] : [[job, cron] as const];
  });
  return entries.length === 0 ? null : Object.fromEntries(entries);
}
