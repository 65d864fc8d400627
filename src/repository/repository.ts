/** A repository: a store with a descriptor, and the record of each server that keeps its backups there. */
import { z } from 'zod';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { isBackupId, type BackupId } from './backup-id.ts';
import {
  backupKeys,
  DESCRIPTOR_KEY,
  incarnationName,
  isServerName,
  parseRevision,
  serverKeys,
  type IncarnationName,
} from './layout.ts';
import { damaged } from './object-header.ts';
import { openObject, putSealed } from './sealed-object.ts';

const RECORD_BYTES_MAX: number = 4 * 1024 * 1024;

const descriptorSchema = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  createdAt: z.iso.datetime(),
});

const incarnationSchema = z.strictObject({
  systemIdentifier: z.string().regex(/^\d{1,20}$/),
  majorVersion: z.number().int(),
  walSegmentBytes: z.number().int(),
  firstSeenAt: z.iso.datetime(),
});

const serverRecordSchema = z.strictObject({
  version: z.literal(1),
  /** Oldest first; the last one is the present one. */
  incarnations: z.array(incarnationSchema).min(1),
});

export type RepositoryDescriptor = z.infer<typeof descriptorSchema>;

/** One life of a server. */
export type Incarnation = z.infer<typeof incarnationSchema>;

export type ServerRecord = z.infer<typeof serverRecordSchema> & { readonly revision: number };

/** Creates the descriptor unless there is one already; answers the descriptor in force. */
export async function createRepository(
  store: ObjectStore,
  now: Date,
): Promise<RepositoryDescriptor> {
  // Loaded here because every command loads this module.
  const { randomUUID } = await import('node:crypto');
  const descriptor = { version: 1 as const, id: randomUUID(), createdAt: now.toISOString() };
  try {
    await putSealed(store, DESCRIPTOR_KEY, {
      kind: 'descriptor',
      plain: Buffer.from(JSON.stringify(descriptor)),
      level: 1,
    });
    return descriptor;
  } catch (error) {
    if (!hasCode(error, 'object-exists')) throw error;
    return readDescriptor(store);
  }
}

/** Throws `repository-missing` when the store holds no repository. */
export async function readDescriptor(store: ObjectStore): Promise<RepositoryDescriptor> {
  try {
    return descriptorSchema.parse(await readJson(store, DESCRIPTOR_KEY, 'descriptor'));
  } catch (error) {
    if (!hasCode(error, 'object-missing')) throw error;
    throw new WalnutError(
      'repository-missing',
      `open repository ${store.description.path}: there is none`,
      {
        hint: 'Check the url in walnut.toml, or create the repository with `walnut init`.',
        cause: error,
      },
    );
  }
}

/**
 * The newest valid revision of a server's record, or null when the repository does not know the server. Throws
 * `object-damaged` when there are revisions and none of them is valid.
 */
export async function readServerRecord(
  store: ObjectStore,
  server: string,
): Promise<ServerRecord | null> {
  let failure: WalnutError | null = null;
  for (const revision of (await recordRevisions(store, server)).toReversed()) {
    const key = serverKeys.record(server, revision);
    try {
      return { ...parseRecord(await readJson(store, key, 'server'), key), revision };
    } catch (error) {
      if (!hasCode(error, 'object-damaged')) throw error;
      failure ??= error;
    }
  }
  if (failure !== null) throw failure;
  return null;
}

/** Ascending. */
async function recordRevisions(store: ObjectStore, server: string): Promise<number[]> {
  const names = await store.listFolder(serverKeys.folder(server));
  return names
    .filter((name) => name.startsWith('server-'))
    .flatMap((name) => parseRevision(name) ?? [])
    .toSorted((first, second) => first - second);
}

/**
 * Adds an incarnation as the present one. Two processes that add at once: one wins, the other gets `object-exists`.
 */
export async function addIncarnation(
  store: ObjectStore,
  server: string,
  incarnation: Incarnation,
): Promise<ServerRecord> {
  if (!isServerName(server)) {
    throw new WalnutError('usage', `add server "${server}": not a possible name`, {
      hint: 'Use small letters, digits, - and _, at most 63, beginning with a letter or digit.',
    });
  }
  const present = await readServerRecord(store, server);
  const record = {
    version: 1 as const,
    incarnations: [...(present?.incarnations ?? []), incarnation],
  };
  // Behind the newest name, damaged or not: nothing is ever overwritten.
  const revision = ((await recordRevisions(store, server)).at(-1) ?? 0) + 1;
  await putSealed(store, serverKeys.record(server, revision), {
    kind: 'server',
    plain: Buffer.from(JSON.stringify(record)),
    level: 1,
  });
  return { ...record, revision };
}

/** The present incarnation of a server. */
export function presentIncarnation(record: ServerRecord): Incarnation {
  const last = record.incarnations.at(-1);
  if (last === undefined) throw new RangeError('a server record without incarnations');
  return last;
}

export function nameOfIncarnation(incarnation: Incarnation): IncarnationName {
  return incarnationName(BigInt(incarnation.systemIdentifier), incarnation.majorVersion);
}

/** Names of all servers that the repository knows, sorted. */
export async function listServers(store: ObjectStore): Promise<string[]> {
  const names = await store.listFolder('');
  const servers: string[] = [];
  for (const name of names) {
    const server = name.endsWith('/') ? name.slice(0, -1) : '';
    if (isServerName(server)) servers.push(server);
  }
  return servers;
}

/** Ids of everything under `backup/`, committed or not, in order of their ids. */
export async function listBackupIds(store: ObjectStore, server: string): Promise<BackupId[]> {
  const names = await store.listFolder(backupKeys.all(server));
  return names.map((name) => name.replace(/\/$/, '')).filter((name) => isBackupId(name));
}

async function readJson(
  store: ObjectStore,
  key: string,
  kind: 'descriptor' | 'server',
): Promise<unknown> {
  const { plain } = openObject(await store.get(key, RECORD_BYTES_MAX), kind, key);
  return JSON.parse(plain.toString('utf8'));
}

function parseRecord(value: unknown, key: string): z.infer<typeof serverRecordSchema> {
  const parsed = serverRecordSchema.safeParse(value);
  if (!parsed.success) throw damaged(key, 'its content is no server record', parsed.error);
  return parsed.data;
}
