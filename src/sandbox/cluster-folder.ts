import { appendFile, chmod, chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresqlBinaries } from './postgresql-binaries.ts';
import { runProgram } from './run-program.ts';
import { isRoot, type SystemUser } from './unprivileged-user.ts';

export type InitdbOptions = {
  /** Default: the version's own (on from 18). */
  readonly dataChecksums?: boolean;
  /** 1 to 1024, a power of two; default 16. */
  readonly walSegmentMegabytes?: number;
  /** Default: false, group may not read the data folder. */
  readonly allowGroupAccess?: boolean;
  readonly extraArguments?: readonly string[];
};

export type Settings = Readonly<Record<string, string | number | boolean>>;

export type MakeClusterOptions = {
  readonly binaries: PostgresqlBinaries;
  readonly dataFolder: string;
  readonly user: SystemUser;
  /** Of the superuser `postgres`, for connections over TCP; the socket asks for none. */
  readonly password: string;
  readonly settings: Settings;
  /** Put before initdb's lines in pg_hba.conf; the first match decides. */
  readonly hbaLines: readonly string[];
  readonly initdb: InitdbOptions;
};

const INITDB_TIMEOUT_MS = 120_000;

/** Runs initdb (superuser `postgres`, UTF-8, locale C) and writes the settings into the cluster's own files. */
export async function makeCluster(options: MakeClusterOptions): Promise<void> {
  const { binaries, dataFolder, user } = options;
  await makeOwnedFolder(dataFolder, user);
  const passwordFile = `${dataFolder}.password`;
  await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600 });
  if (isRoot()) await chown(passwordFile, user.uid, user.gid);
  try {
    await runProgram(join(binaries.binFolder, 'initdb'), initdbArguments(options, passwordFile), {
      user,
      folder: dataFolder,
      timeoutMs: INITDB_TIMEOUT_MS,
    });
  } finally {
    await rm(passwordFile);
  }
  await appendFile(join(dataFolder, 'postgresql.conf'), settingLines(options.settings));
  const hbaPath = join(dataFolder, 'pg_hba.conf');
  const hbaText = await readFile(hbaPath, 'utf8');
  await writeFile(hbaPath, [...options.hbaLines, hbaText].join('\n'));
}

/** Makes a folder that belongs to `user` alone. */
export async function makeOwnedFolder(path: string, user: SystemUser, mode = 0o700): Promise<void> {
  await mkdir(path);
  await chmod(path, mode);
  if (isRoot()) await chown(path, user.uid, user.gid);
}

/** `name = 'value'` lines for postgresql.conf. */
export function settingLines(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${settingText(value).replaceAll("'", "''")}'\n`)
    .join('');
}

/** `-c name=value` arguments for `postgres`; they win over every file. */
export function settingArguments(settings: Settings): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [
    '-c',
    `${name}=${settingText(value)}`,
  ]);
}

function settingText(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
}

/** Without syncing: a temporary cluster need not survive a crash of the machine. */
function initdbArguments(options: MakeClusterOptions, passwordFile: string): string[] {
  const { dataChecksums, walSegmentMegabytes, allowGroupAccess, extraArguments } = options.initdb;
  const args = [
    `--pgdata=${options.dataFolder}`,
    '--username=postgres',
    `--pwfile=${passwordFile}`,
    '--auth-local=trust',
    '--auth-host=scram-sha-256',
    '--encoding=UTF8',
    '--no-locale',
    '--no-sync',
  ];
  if (dataChecksums === true) args.push('--data-checksums');
  if (dataChecksums === false && options.binaries.majorVersion >= 18) {
    args.push('--no-data-checksums');
  }
  if (walSegmentMegabytes !== undefined) args.push(`--wal-segsize=${walSegmentMegabytes}`);
  if (allowGroupAccess === true) args.push('--allow-group-access');
  return [...args, ...(extraArguments ?? [])];
}
