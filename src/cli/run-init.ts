/** `walnut init`: writes what is missing of configuration, repository and slot, and says what the server needs. */
import { fileURLToPath } from 'node:url';
import type { InitDocument } from '../api/contract.ts';
import { createWalSlot } from '../archive/manage-slot.ts';
import { loadConfiguration } from '../config/load.ts';
import type { Configuration, ServerConfiguration } from '../config/configuration.ts';
import { hasCode, WalnutError } from '../lib/walnut-error.ts';
import type { MajorVersion } from '../postgres/version.ts';
import { connectForCheck } from '../preflight/check.ts';
import type { CheckedServer } from '../preflight/check-types.ts';
import { failedBy } from '../preflight/finding.ts';
import { noteIncarnation, prepareRepository } from '../preflight/prepare-repository.ts';
import { findServerNeeds, needOf, roleNeeds, type ServerNeed } from '../preflight/server-needs.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './context.ts';
import {
  existingConfiguration,
  refuseChanges,
  writeConfiguration,
  type InitValues,
} from './init-configuration.ts';
import { renderInit } from './render/init.ts';
import { serverPlanOf } from './run-check.ts';
import { storeDescriptionOf } from './repository-access.ts';
import { connectionSettingsOf } from './server-access.ts';

export async function runInit(values: InitValues, context: CommandContext): Promise<CommandResult> {
  const existing = existingConfiguration(context);
  const { path } = existing;
  const begun = existing.isThere ? null : await writeNew(values, path, context);
  const configuration = begun?.configuration ?? loadConfiguration(context);
  const server = chooseServer(configuration, values, path);
  if (existing.isThere) refuseChanges(values, server, path);
  const { store, created } = await prepareRepository(storeDescriptionOf(server.repository));
  try {
    const preparing = { server, path: configuration.path, values, context, store };
    const { superuserOf, isReached, ...prepared } = await prepareServer(preparing);
    const { name, url } = server.repository;
    const document: InitDocument = {
      configFile: path,
      configWritten: begun !== null,
      repository: { name, url, created: begun?.isRepositoryCreated ?? created },
      server: server.name,
      ...prepared,
    };
    const text = renderInit(document, { superuserOf, isReached });
    return { document, text, exitCode: isReached ? 0 : 1 };
  } finally {
    await store.close();
  }
}

type Begun = { readonly configuration: Configuration; readonly isRepositoryCreated: boolean };

/** The repository comes first: a configuration that names an impossible one would only be in the way. */
async function writeNew(values: InitValues, path: string, context: CommandContext): Promise<Begun> {
  const { answersOf } = await import('./init-answers.ts');
  const answers = await answersOf(values, path, context);
  const folder = fileURLToPath(answers.repository.url);
  const { store, created } = await prepareRepository({ kind: 'filesystem', path: folder });
  await store.close();
  await writeConfiguration(path, answers);
  const { environment } = context;
  const configuration = loadConfiguration({ configPath: path, environment });
  return { configuration, isRepositoryCreated: created };
}

function chooseServer(
  { servers }: Configuration,
  { server: wanted }: InitValues,
  path: string,
): ServerConfiguration {
  const names = [...servers.keys()];
  const name = wanted ?? (names.length === 1 ? names[0] : undefined);
  const server = name === undefined ? undefined : servers.get(name);
  if (server !== undefined) return server;
  if (name === undefined) {
    throw new WalnutError('usage', `init: ${path} names ${names.length} servers`, {
      hint: names.length === 0 ? 'Add [server.NAME] to it.' : `Name one of ${names.join(', ')}.`,
    });
  }
  throw new WalnutError('config', `init server ${name}: ${path} is in place and does not name it`, {
    hint: `init never changes a configuration. Add to the file:\n[server.${name}]\nconnection = "…"\nthen run init again.`,
  });
}

type Preparing = {
  readonly server: ServerConfiguration;
  readonly path: string | null;
  readonly values: InitValues;
  readonly context: CommandContext;
  readonly store: ObjectStore;
};

type PreparedServer = Pick<InitDocument, 'slot' | 'newIncarnation' | 'missing'> & {
  /** The server's version, where the connection is a superuser's. */
  readonly superuserOf: MajorVersion | null;
  readonly isReached: boolean;
};

async function prepareServer({
  server,
  path,
  values,
  context,
  store,
}: Preparing): Promise<PreparedServer> {
  const { packageRoot, signal } = context;
  const plan = serverPlanOf(server, { configPath: path, packageRoot });
  let connected: CheckedServer;
  let role: string | null = null;
  try {
    const settings = await connectionSettingsOf(server);
    role = settings.user;
    connected = await connectForCheck(plan, settings, signal);
  } catch (error) {
    const missing = needOf(failedBy('connection', error, signal));
    if (role !== null && hasCode(error, 'authentication')) missing.push(...roleNeeds(role));
    return { slot: null, newIncarnation: false, missing, superuserOf: null, isReached: false };
  }
  try {
    const { facts, session } = connected;
    const noted = await noteIncarnation(store, {
      server: server.name,
      facts,
      acceptNew: values.newIncarnation,
      now: context.now(),
    });
    const missing = await findServerNeeds(connected);
    const slot = await prepareSlot(connected, missing);
    return {
      slot,
      newIncarnation: noted === 'new',
      missing,
      superuserOf: facts.role.isSuperuser ? session.majorVersion : null,
      isReached: true,
    };
  } finally {
    await connected.session.close();
  }
}

/** Null when WAL does not come by a slot, or it cannot be made yet, which is then among what is missing. */
async function prepareSlot(
  { plan, settings, signal }: CheckedServer,
  missing: ServerNeed[],
): Promise<InitDocument['slot']> {
  if (plan.wal === 'archive') return null;
  try {
    const { slot: name } = plan;
    const { outcome } = await createWalSlot({ connection: settings, slot: name, signal });
    return { name, created: outcome === 'created' };
  } catch (error) {
    // What the checks have found already explains it better.
    if (missing.length === 0) missing.push(...needOf(failedBy('replication slot', error, signal)));
    return null;
  }
}
