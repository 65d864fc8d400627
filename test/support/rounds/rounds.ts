import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { verifyDocument, type BackupDocument } from '../../../src/api/contract.ts';
import { messageOf } from '../../../src/lib/walnut-error.ts';
import type { MajorVersion } from '../../../src/postgres/version.ts';
import type { TestCluster } from '../cluster.ts';
import { contentDifferences, contentOf, type ClusterContent } from '../content.ts';
import { mainForkDifferences } from '../main-forks.ts';
import { protect, waitForRecovery, type ProtectedServer } from '../protected-server.ts';
import { pickOne, randomBelow, seededRandom, type Random } from '../random.ts';
import { unsoundParts } from '../sound-cluster.ts';
import type { WalnutProcess } from '../walnut.ts';
import { CLUSTER_WORK } from './cluster-work.ts';
import {
  EVENTS_WITHOUT_RECEIVER,
  failOver,
  killAtRest,
  killInMidWork,
  ROUND_EVENTS,
  type RoundEvent,
} from './events.ts';
import { archiveWal, startRoundCluster, type RoundCluster } from './round-cluster.ts';
import { TABLE_WORK } from './table-work.ts';
import { restoreCommand, stopAtRest, Twin, type Point } from './twin.ts';
import {
  createLargeTable,
  createTable,
  databaseNames,
  ROUND_TABLESPACES,
  type Work,
  type WorkContext,
} from './work-context.ts';

export type RoundsOptions = {
  readonly major: MajorVersion;
  readonly source: 'local' | 'connection';
  /** Decides everything that is drawn. */
  readonly seed: string;
  readonly rounds: number;
};

const WORK: Readonly<Record<string, Work>> = { ...TABLE_WORK, ...CLUSTER_WORK };
const TABLES_AT_FIRST = 2;
/** Of the receiver, when something fails. */
const OUTPUT_LINES = 30;
/** No piece of work waits for longer: what hangs is a mistake of the test. */
const STATEMENT_LIMIT = '60 s';

/**
 * Rounds of drawn work, each followed by an incremental or differential backup, whose restore is compared with the
 * live server and, page by page, with the first full backup brought to the same point. Answers what differs, in words,
 * and all that led there; nothing when all is well.
 */
export async function runRounds(options: RoundsOptions): Promise<string[]> {
  await using rounds = await Rounds.begin(options);
  for (let round = 1; round <= options.rounds; round += 1) {
    const differences = await rounds.run(round);
    if (differences.length > 0) return [...differences, ...rounds.story];
  }
  const differences = await rounds.end();
  return differences.length > 0 ? [...differences, ...rounds.story] : [];
}

class Rounds {
  readonly #options: RoundsOptions;
  readonly #random: Random;
  readonly #home: RoundCluster;
  readonly #server: ProtectedServer;
  readonly #twin: Twin;
  readonly #promotionRounds: readonly number[];
  /** Those that died, and the one that lives, the first one left out. */
  readonly #successors: TestCluster[] = [];
  readonly #story: string[] = [];
  /** Taken so far, the full one first. */
  readonly #backups: BackupDocument[];
  #cluster: TestCluster;
  #receiver: WalnutProcess | null;

  private constructor(
    options: RoundsOptions,
    random: Random,
    begun: {
      home: RoundCluster;
      server: ProtectedServer;
      twin: Twin;
      receiver: WalnutProcess | null;
      full: BackupDocument;
    },
  ) {
    this.#options = options;
    this.#random = random;
    this.#home = begun.home;
    this.#cluster = begun.home.cluster;
    this.#server = begun.server;
    this.#twin = begun.twin;
    this.#receiver = begun.receiver;
    this.#backups = [begun.full];
    this.#promotionRounds = [0, 1].map(() => 2 + randomBelow(random, Math.max(8, options.rounds)));
    this.#story.push(`layout ${begun.home.layout}`, `full ${begun.full.id}`);
  }

  static async begin(options: RoundsOptions): Promise<Rounds> {
    const random = seededRandom(options.seed);
    const home = await startRoundCluster(options.major, random);
    try {
      await fillDatabases(home, random);
      const server = await protect(home.cluster, { toml: `wal = "${home.wal}"` });
      await archiveWal(home, server);
      const receiver = home.wal === 'stream' ? await server.receive() : null;
      const full = await server.backup(['--type', 'full', '--from', options.source]);
      const twin = await Twin.restore(server, full.id, home.archiveFolder);
      return new Rounds(options, random, { home, server, receiver, full, twin });
    } catch (error) {
      await home.cluster.dispose();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#receiver !== null) await this.#receiver[Symbol.asyncDispose]();
    for (const cluster of this.#successors.toReversed()) await cluster.dispose();
    await this.#home.cluster.dispose();
  }

  /** Seed, layout and everything that was done. */
  get story(): readonly string[] {
    return [`seed ${this.#options.seed}`, ...this.#story];
  }

  async run(round: number): Promise<string[]> {
    const event = this.#drawEvent(round);
    this.#story.push(`round ${round} ${event}`);
    try {
      await this.#begin(event);
      for (let left = 2 + randomBelow(this.#random, 6); left > 0; left -= 1) await this.#work();
      await this.#end(event);
      const backup = await this.#backup(event);
      return backup.wrong.length > 0 ? backup.wrong : await this.#check(round, backup.document);
    } catch (error) {
      const message = [messageOf(error), ...this.story, ...this.#receiverOutput()].join('\n  ');
      throw new Error(message, { cause: error });
    }
  }

  /** What only the end shows: that nothing stored is damaged or missing, and that an older backup still comes back. */
  async end(): Promise<string[]> {
    const { damaged } = verifyDocument.parse(
      await this.#server.json(['verify', this.#server.name]),
    );
    const { gaps } = await this.#server.list();
    const older = pickOne(this.#random, this.#backups);
    const words = ['--backup', older.id, '--to-immediate', '--action', 'promote'];
    await this.#server.restore('older', { words, tablespaces: ROUND_TABLESPACES });
    return [
      ...damaged.map(({ key, reason }) => `${key}: ${reason}`),
      ...gaps.map(({ fromLsn, toLsn }) => `a gap from ${fromLsn} to ${toLsn}`),
      ...(await this.#wrongStructure('older')),
    ];
  }

  #drawEvent(round: number): RoundEvent {
    const events = this.#home.wal === 'stream' ? ROUND_EVENTS : EVENTS_WITHOUT_RECEIVER;
    const drawn = pickOne(this.#random, events);
    return this.#promotionRounds.includes(round) ? 'promotion' : drawn;
  }

  async #begin(event: RoundEvent): Promise<void> {
    if (event === 'receiverAway' || event === 'noReceiver') await this.#stopReceiver();
    if (event === 'promotion') {
      const name = `successor-${this.#successors.length + 1}`;
      this.#cluster = await failOver(this.#server, { primary: this.#cluster, name });
      this.#successors.push(this.#cluster);
      await this.#stopReceiver();
      const { wal } = this.#home;
      await this.#server.configure({ cluster: this.#cluster, toml: `wal = "${wal}"` });
      await this.#server.json(['init', this.#server.name, '--yes']);
      if (wal === 'stream') this.#receiver = await this.#server.receive();
    }
  }

  async #end(event: RoundEvent): Promise<void> {
    if (event === 'killInMidWork') await this.#withSession(killInMidWork);
    if (event === 'kill') await killAtRest(this.#cluster);
    if (event === 'restart') await this.#cluster.server.restart();
    if (event === 'receiverAway') this.#receiver = await this.#server.receive();
  }

  #receiverOutput(): string[] {
    const { isRunning, stdout = '', stderr = '' } = this.#receiver ?? {};
    const lines = `${stdout}${stderr}`.trim().split('\n').slice(-OUTPUT_LINES);
    return [`receiver: ${isRunning === true ? 'running' : 'ended'}`, ...lines];
  }

  async #stopReceiver(): Promise<void> {
    await this.#receiver?.stop();
    this.#receiver = null;
  }

  async #work(): Promise<void> {
    const name = pickOne(this.#random, Object.keys(WORK));
    await this.#withSession(async (context) => {
      this.#story.push(`${name} in ${context.database}`);
      try {
        await WORK[name]?.(context);
      } catch (error) {
        throw new Error(`work ${name}: ${messageOf(error)}`, { cause: error });
      }
    });
  }

  async #withSession(act: Work): Promise<void> {
    const cluster = this.#cluster;
    const database = pickOne(this.#random, await databaseNames(cluster));
    const client = await cluster.connect({ database });
    try {
      await client.query(`set statement_timeout = '${STATEMENT_LIMIT}'`);
      const context: WorkContext = {
        cluster,
        database,
        client,
        random: this.#random,
        folder: this.#home.copyFolder,
      };
      await act(context);
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** Sometimes while work goes on. */
  async #backup(event: RoundEvent): Promise<{ document: BackupDocument; wrong: string[] }> {
    const type = pickOne(this.#random, ['incremental', 'incremental', 'differential'] as const);
    const workDuring = randomBelow(this.#random, 2) * 3;
    const jobs = String(1 + randomBelow(this.#random, 3));
    const paranoid = randomBelow(this.#random, 4) === 0 ? ['--paranoid'] : [];
    const from = this.#options.source;
    const words = ['--type', type, '--from', from, '--jobs', jobs, ...paranoid];
    const [document] = await Promise.all([
      this.#server.backup(words),
      (async () => {
        for (let left = workDuring; left > 0; left -= 1) await this.#work();
      })(),
    ]);
    const { id, parent, changeSource } = document;
    this.#story.push(`${id} parent ${parent} by ${changeSource} beside ${workDuring} works`);
    if (event === 'noReceiver') this.#receiver = await this.#server.receive();
    const wrong = wrongKind(document, { type, parent: this.#parentOf(type) });
    this.#backups.push(document);
    return { document, wrong };
  }

  #parentOf(type: 'incremental' | 'differential'): string | undefined {
    const parent = type === 'differential' ? this.#backups[0] : this.#backups.at(-1);
    return parent?.id;
  }

  /** A moment at which nothing happens, and what the server holds then. */
  async #mark(round: number): Promise<{ point: Point; content: ClusterContent }> {
    const name = `point ${round}`;
    const cluster = this.#cluster;
    await cluster.sql('checkpoint');
    const lsn = await cluster.value(`select pg_create_restore_point('${name}')`);
    const segment = await cluster.value(`select pg_walfile_name('${lsn}')`);
    const content = await contentOf(cluster);
    await cluster.sql('select pg_switch_wal()');
    return { point: { name, lsn, segment }, content };
  }

  async #check(round: number, backup: BackupDocument): Promise<string[]> {
    const { point, content } = await this.#mark(round);
    await this.#server.waitUntilStored(point.lsn, backup.timeline);
    const folder = `restored-${round}`;
    const words = ['--backup', backup.id, '--to-name', point.name, '--action', 'pause'];
    await Promise.all([
      this.#server.restore(folder, { words, tablespaces: ROUND_TABLESPACES }),
      this.#twin.advance(point),
    ]);
    const restored = this.#server.restoredFolder(folder);
    const wrong = [
      ...(await this.#wrongContent(folder, content)),
      ...(await mainForkDifferences(this.#twin.dataFolder, restored)),
      ...(await this.#wrongStructure(folder)),
    ];
    if (wrong.length === 0) await rm(dirname(restored), { recursive: true, force: true });
    return wrong;
  }

  async #wrongContent(folder: string, content: ClusterContent): Promise<string[]> {
    await using paused = await this.#server.adopt(folder);
    await paused.server.start();
    await waitForRecovery(paused, 'pause');
    const differences = contentDifferences(content, await contentOf(paused));
    await stopAtRest(paused);
    return differences;
  }

  async #wrongStructure(folder: string): Promise<string[]> {
    const restore_command = restoreCommand(this.#home.archiveFolder);
    const overrides = { recovery_target_action: 'promote', restore_command };
    await using promoted = await this.#server.adopt(folder, { overrides });
    await promoted.server.start();
    await waitForRecovery(promoted, 'promote');
    return await unsoundParts(promoted);
  }
}

/** So that the full backup has something that later backups share with it. */
async function fillDatabases(
  { cluster, copyFolder: folder, isLarge }: RoundCluster,
  random: Random,
): Promise<void> {
  for (const database of await databaseNames(cluster)) {
    const client = await cluster.connect({ database });
    const context = { cluster, database, client, random, folder };
    for (let left = TABLES_AT_FIRST; left > 0; left -= 1) await createTable(context);
    if (isLarge && database === 'shop') await createLargeTable(context);
    await client.query('vacuum');
    await client.end();
  }
}

function wrongKind(
  backup: BackupDocument,
  wanted: { type: string; parent: string | undefined },
): string[] {
  const { type, parent, changeSource, warnings } = backup;
  const isRight = type === wanted.type && parent === wanted.parent && changeSource === 'archive';
  const found = JSON.stringify({ type, parent, changeSource, warnings });
  return isRight ? [] : [`wanted ${JSON.stringify(wanted)}, took ${found}`];
}
