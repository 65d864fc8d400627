/** A test cluster that Walnut protects, through the built command line alone. */
import { join } from 'node:path';
import { backupDocument, listDocument, type BackupDocument } from '../../src/api/contract.ts';
import { restoreDocument, type RestoreDocument } from '../../src/api/restore-contract.ts';
import { sleep } from '../../src/lib/sleep.ts';
import { parseLsn } from '../../src/postgres/lsn.ts';
import { adoptCluster, type AdoptClusterOptions, type TestCluster } from './cluster.ts';
import {
  runWalnut,
  spawnWalnut,
  writeConfig,
  type WalnutOptions,
  type WalnutProcess,
  type WalnutResult,
} from './walnut.ts';

/** Every command and every wait of an end-to-end test ends by then, with what it saw. */
const LIMIT_MS = 120_000;
const POLL_MS = 300;
/** Of a conflict with recovery: `ProcessInterrupts` in src/backend/tcop/postgres.c. */
const SERIALIZATION_FAILURE = '40001';

export type ListedServer = ReturnType<typeof listDocument.parse>['servers'][number];

export type ProtectOptions = {
  /** Default `shop`. */
  readonly name?: string;
  /** Default: a new one in the cluster's work folder. */
  readonly repository?: string;
  /** Default: role `walnut`, who has the grants of the guide. */
  readonly connection?: string;
  /** Another server than before that goes on under the name, such as a promoted copy. */
  readonly cluster?: TestCluster;
  /** Default true: Walnut runs on the database host and is told where the data directory is. */
  readonly isLocal?: boolean;
  /** Further lines of the server's section. */
  readonly toml?: string;
};

export type RestoreWish = {
  /** Options of `walnut restore`. */
  readonly words?: readonly string[];
  /** Tablespaces to put beside the restored cluster. */
  readonly tablespaces?: readonly string[];
};

/** Writes a configuration and lets `walnut init` make what is missing: repository and slot. */
export async function protect(
  cluster: TestCluster,
  options: ProtectOptions = {},
): Promise<ProtectedServer> {
  const repository = options.repository ?? join(cluster.workFolder, 'repository');
  const server = new ProtectedServer(cluster, options.name ?? 'shop', repository);
  await server.configure(options);
  await server.json(['init', server.name, '--yes']);
  return server;
}

export class ProtectedServer {
  readonly cluster: TestCluster;
  readonly name: string;
  readonly repository: string;
  readonly config: string;

  constructor(cluster: TestCluster, name: string, repository: string) {
    this.cluster = cluster;
    this.name = name;
    this.repository = repository;
    this.config = join(cluster.workFolder, 'walnut.toml');
  }

  /** Writes the configuration anew. */
  async configure(options: Omit<ProtectOptions, 'name' | 'repository'> = {}): Promise<void> {
    const { cluster = this.cluster, toml = '', isLocal = true } = options;
    const folderLine = isLocal ? `data_directory = "${cluster.dataFolder}"\n` : '';
    const { connection = cluster.connectionString({ user: 'walnut' }) } = options;
    await writeConfig(
      this.cluster.workFolder,
      `[repository.main]\nurl = "file://${this.repository}"\n\n` +
        `[server.${this.name}]\nrepository = "main"\npiece_interval = "300 ms"\nwal_timeout = "60 s"\n` +
        `connection = "${connection}"\n${folderLine}${toml}`,
    );
  }

  /** Runs a command to its end, whatever that is. */
  async run(words: readonly string[], options: WalnutOptions = {}): Promise<WalnutResult> {
    return await runWalnut(words, { config: this.config, timeoutMs: LIMIT_MS, ...options });
  }

  /** Starts a command that runs for long. */
  async start(words: readonly string[], options: WalnutOptions = {}): Promise<WalnutProcess> {
    return await spawnWalnut(words, { config: this.config, ...options });
  }

  /** Runs a command that has to succeed and answers its JSON document. */
  async json(words: readonly string[], options: WalnutOptions = {}): Promise<unknown> {
    const result = await this.run([...words, '--json'], options);
    if (result.exitCode === 0) return result.json();
    throw new Error(
      `walnut ${words.join(' ')}: exit ${result.exitCode}\n${result.stdout}${result.stderr}`,
    );
  }

  async backup(words: readonly string[], options: WalnutOptions = {}): Promise<BackupDocument> {
    return backupDocument.parse(await this.json(['backup', this.name, ...words], options));
  }

  /** Starts `wal receive` and waits until it streams. */
  async receive(options: WalnutOptions = {}): Promise<WalnutProcess> {
    const receiver = await this.start(['wal', 'receive', this.name], options);
    await receiver.waitForLine('streaming from');
    return receiver;
  }

  async list(): Promise<ListedServer> {
    const { servers } = listDocument.parse(await this.json(['list', this.name]));
    const [listed] = servers;
    if (listed === undefined) throw new Error(`walnut list ${this.name}: no server`);
    return listed;
  }

  /** Waits until a recovery window of the timeline reaches `lsn`. */
  async waitUntilStored(lsn: string, timeline = 1): Promise<void> {
    let listed = await this.list();
    const isStored = (): boolean =>
      listed.recoveryWindows.some(
        (window) => window.timeline === timeline && parseLsn(window.toLsn) >= parseLsn(lsn),
      );
    const what = (): string =>
      `WAL is stored up to ${lsn} of timeline ${timeline}: ${JSON.stringify(listed)}`;
    await waitUntil(what, async () => {
      if (!isStored()) listed = await this.list();
      return isStored();
    });
  }

  /** The folder that `restore(name)` makes. */
  restoredFolder(name: string): string {
    return join(this.cluster.workFolder, name, 'data');
  }

  /** The words of `walnut restore` into a folder of that name. */
  restoreWords(name: string, { words = [], tablespaces = [] }: RestoreWish = {}): string[] {
    const mapped = tablespaces.flatMap((tablespace) => [
      '--tablespace',
      `${tablespace}=${join(this.cluster.workFolder, name, tablespace)}`,
    ]);
    return ['restore', this.name, '--target', this.restoredFolder(name), ...mapped, ...words];
  }

  async restore(name: string, wish: RestoreWish = {}): Promise<RestoreDocument> {
    return restoreDocument.parse(await this.json(this.restoreWords(name, wish)));
  }

  /** A restored cluster, not started yet. */
  async adopt(name: string, options: Partial<AdoptClusterOptions> = {}): Promise<TestCluster> {
    const dataFolder = this.restoredFolder(name);
    return await adoptCluster({ major: this.cluster.major, dataFolder, ...options });
  }
}

/** Polls until `isSo`; fails at the limit, naming what did not come. */
export async function waitUntil(
  what: () => string,
  isSo: () => Promise<boolean>,
  { timeoutMs = LIMIT_MS, pollMs = POLL_MS }: { timeoutMs?: number; pollMs?: number } = {},
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what()}`);
    await sleep(pollMs);
  }
}

/** Waits until recovery has ended at the server's target or at the end of WAL, as `action` has it. */
export async function waitForRecovery(
  restored: TestCluster,
  action: 'pause' | 'promote',
): Promise<void> {
  const question = action === 'pause' ? pausedQuestion(restored.major) : 'not pg_is_in_recovery()';
  try {
    await waitUntil(
      () => action,
      async () => (await answerDuringRecovery(restored, question)) === 'true',
      { pollMs: 50 },
    );
  } catch (cause) {
    throw new Error(`recovery: ${await restored.server.logTail(40)}`, { cause });
  }
}

/** Null when the session was in the way of replay, which then cancels it after a while: it has to be asked again. */
async function answerDuringRecovery(
  restored: TestCluster,
  question: string,
): Promise<string | null> {
  try {
    return await restored.value(`select ${question}`);
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    if (code !== SERIALIZATION_FAILURE) throw error;
    return null;
  }
}

function pausedQuestion(major: number): string {
  return major >= 14
    ? "pg_get_wal_replay_pause_state() = 'paused'"
    : 'pg_is_in_recovery() and pg_is_wal_replay_paused()';
}
