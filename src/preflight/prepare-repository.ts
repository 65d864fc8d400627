import { readdir } from 'node:fs/promises';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { ServerFacts } from '../postgres/connection/server-facts.ts';
import { majorVersionOf } from '../postgres/version.ts';
import { DESCRIPTOR_KEY } from '../repository/layout.ts';
import {
  addIncarnation,
  createRepository,
  presentIncarnation,
  readDescriptor,
  readServerRecord,
} from '../repository/repository.ts';
import { createFilesystemFolder } from '../storage/filesystem/filesystem-store.ts';
import type { ObjectStore, StoreDescription } from '../storage/object-store.ts';
import { openStore } from '../storage/open-store.ts';

/** What a folder may hold and still count as empty: file systems make one, a killed `init` leaves the other. */
const NO_CONTENT: ReadonlySet<string> = new Set(['lost+found', 'tmp']);

export type PreparedRepository = { readonly store: ObjectStore; readonly created: boolean };

/**
 * Opens the repository, or makes it where there is none. Throws `config` for a folder that holds something else: what
 * is in the way may be somebody's data.
 */
export async function prepareRepository(
  description: StoreDescription,
): Promise<PreparedRepository> {
  const { path } = description;
  await createFilesystemFolder(description);
  const names = await readdir(path);
  const isForeign = !names.includes(DESCRIPTOR_KEY) && names.some((name) => isContent(name));
  if (isForeign) {
    throw new WalnutError('config', `make a repository in ${path}: the folder is not empty`, {
      hint: 'Name an empty or a new folder. If a repository was there, its walnut.json is lost: run `walnut verify`.',
    });
  }
  const store = await openStore(description);
  try {
    const created = !names.includes(DESCRIPTOR_KEY);
    if (created) await createRepository(store, new Date());
    else await readDescriptor(store);
    return { store, created };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** No key begins with a dot. A service account's home is often its repository, and holds `.cache` and `.pgpass`. */
function isContent(name: string): boolean {
  return !name.startsWith('.') && !NO_CONTENT.has(name);
}

export type IncarnationRequest = {
  readonly server: string;
  readonly facts: Pick<ServerFacts, 'systemIdentifier' | 'serverVersionNum' | 'walSegmentBytes'>;
  /** The user said that another cluster now has the name. */
  readonly acceptNew: boolean;
  readonly now: Date;
};

/**
 * Notes which cluster the server's name stands for. Another one than before is taken only when the user said so; else
 * `foreign-system`: what looks like an upgrade may as well be the wrong host.
 */
export async function noteIncarnation(
  store: ObjectStore,
  { server, facts, acceptNew, now }: IncarnationRequest,
): Promise<'first' | 'known' | 'new'> {
  const seen = {
    systemIdentifier: String(facts.systemIdentifier),
    majorVersion: majorVersionOf(facts.serverVersionNum),
    walSegmentBytes: facts.walSegmentBytes,
  };
  const record = await readServerRecord(store, server);
  const known = record === null ? null : presentIncarnation(record);
  if (
    known?.systemIdentifier === seen.systemIdentifier &&
    known.majorVersion === seen.majorVersion &&
    known.walSegmentBytes === seen.walSegmentBytes
  ) {
    return 'known';
  }
  if (known !== null && !acceptNew) {
    throw new WalnutError(
      'foreign-system',
      `recognise server ${server}: it is system ${seen.systemIdentifier} of PostgreSQL ${seen.majorVersion}, the ` +
        `repository knows system ${known.systemIdentifier} of PostgreSQL ${known.majorVersion}`,
      {
        hint:
          `If the server was upgraded or made anew on purpose, run \`walnut init ${server} --new-incarnation\`; ` +
          'otherwise correct the connection in walnut.toml.',
      },
    );
  }
  try {
    await addIncarnation(store, server, { ...seen, firstSeenAt: now.toISOString() });
  } catch (error) {
    // Another process noted it at the same moment; what it noted is looked at as if it had been there before.
    if (!hasCode(error, 'object-exists')) throw error;
    return noteIncarnation(store, { server, facts, acceptNew, now });
  }
  return known === null ? 'first' : 'new';
}
