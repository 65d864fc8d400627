/**
 * The whole story on a PostgreSQL of its own: a shop at work is backed up, its WAL is kept, a table is dropped by mistake, and
 * the moment before comes back. Everything is real: server, load, backup, restore.
 */
import { join } from 'node:path';
import { WalReceiver } from '../archive/receiver.ts';
import { runBackup } from '../backup/backup.ts';
import { admitServer } from '../backup/admit-server.ts';
import { readServerFacts } from '../postgres/connection/server-facts.ts';
import type { Session } from '../postgres/connection/session.ts';
import type { Manifest } from '../repository/manifest.ts';
import { planRestore } from '../restore/plan.ts';
import { restore, type RestoreResult } from '../restore/restore.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import { SILENT_PROGRESS as SILENT_BACKUP } from '../backup/progress.ts';
import { sleep } from '../lib/sleep.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { parseLsn } from '../postgres/lsn.ts';
import { backupOptions, receiverOptions, restoreRequest, SERVER } from './demo-options.ts';
import { SILENT_PROGRESS as SILENT_RESTORE } from '../restore/progress.ts';
import { buildStage, startRestored, type DemoStage } from './stage.ts';
import { countLost, openShop, readOrders, ShopLoad, type TableContent } from './shop.ts';
import type { Story } from './story.ts';

export type DemoOptions = {
  /** Where the scratch folder is made; null: the system's folder for temporary files. */
  readonly parentFolder: string | null;
  readonly keep: boolean;
  readonly walnutVersion: string;
  readonly renderBytes: (bytes: number) => string;
  readonly renderDuration: (durationMs: number) => string;
};

export type DemoResult = {
  readonly passed: boolean;
  readonly postgresVersion: string;
  readonly backup: Manifest;
  readonly restore: RestoreResult;
  readonly before: TableContent;
  readonly after: TableContent;
  readonly lostTransactions: number;
  /** The scratch folder, when it was kept. */
  readonly folder: string | null;
};

const LOAD_BEFORE_BACKUP_MS = 1500;
const LOAD_AFTER_BACKUP_MS = 3000;
const WAL_TIMEOUT_MS = 60_000;
const RECOVERY_TIMEOUT_MS = 120_000;
const POLL_MS = 100;

/** Throws the reason of `signal` when it is aborted, whatever else went wrong by that. */
export async function runDemo(
  options: DemoOptions,
  story: Story,
  signal: AbortSignal,
): Promise<DemoResult> {
  try {
    return await playStory(options, story, signal);
  } catch (error) {
    // Ctrl-C on a terminal reaches initdb too, and its end is not what failed.
    signal.throwIfAborted();
    throw error;
  }
}

async function playStory(
  options: DemoOptions,
  story: Story,
  signal: AbortSignal,
): Promise<DemoResult> {
  story.chapter('A shop opens');
  const stage = await buildStage(options.parentFolder);
  try {
    signal.throwIfAborted();
    story.tell(
      `PostgreSQL ${stage.binaries.version} runs as user ${stage.user.name} in ${stage.folder}.`,
    );
    const result = await tellStory({ options, stage, story, signal });
    if (options.keep) stage.keep();
    return { ...result, folder: options.keep ? stage.folder : null };
  } finally {
    await stage.close();
  }
}

type Telling = {
  readonly options: DemoOptions;
  readonly stage: DemoStage;
  readonly story: Story;
  readonly signal: AbortSignal;
};

async function tellStory(telling: Telling): Promise<Omit<DemoResult, 'folder'>> {
  const { stage, story, signal } = telling;
  const shop = await openShop(stage.settings);
  try {
    const opened = await readOrders(shop);
    story.tell(`${opened.rows.toLocaleString('en')} orders of 5,000 customers are in its tables.`);
    const receiver = await startReceiver(telling, shop);
    try {
      const backup = await backUpUnderLoad(telling);
      const moment = await makeMistake(telling, shop, receiver.receiver);
      // Stored to the last byte: what is flushed may still lie in the spool only.
      await receiver.stop();
      const restored = await bringBack(telling, moment.timeUs);
      const outcome = await compare(telling, moment);
      signal.throwIfAborted();
      return { ...outcome, postgresVersion: stage.binaries.version, backup, restore: restored };
    } finally {
      await receiver.stop();
    }
  } finally {
    await shop.close();
  }
}

async function startReceiver(
  { stage, story }: Telling,
  shop: Session,
): Promise<{ readonly receiver: WalReceiver; stop(): Promise<void> }> {
  const incarnation = await admitServer(stage.store, SERVER, await readServerFacts(shop));
  const receiver = new WalReceiver(receiverOptions(stage, incarnation));
  const running = receiver.run();
  running.catch(() => undefined);
  await Promise.race([receiver.streaming, running]);
  story.tell('Walnut streams its WAL through a replication slot into a repository.');
  return {
    receiver,
    stop: async () => {
      receiver.stop();
      await running.catch(() => undefined);
    },
  };
}

async function backUpUnderLoad({ options, stage, story, signal }: Telling): Promise<Manifest> {
  story.chapter('A backup, while customers order');
  const load = new ShopLoad(stage.settings);
  stage.load = load;
  await sleep(LOAD_BEFORE_BACKUP_MS, signal);
  const before = load.commits;
  const { manifest } = await runBackup(
    backupOptions(stage, options.walnutVersion),
    SILENT_BACKUP,
    signal,
  );
  const { totals, durationMs } = manifest;
  story.tell(
    `Backup ${manifest.id} took ${options.renderDuration(durationMs)}: ${options.renderBytes(totals.clusterBytes)} read, ` +
      `every page checked, ${options.renderBytes(totals.storedBytes)} stored.`,
  );
  story.tell(`${load.commits - before} transactions were committed while it ran.`);
  await sleep(LOAD_AFTER_BACKUP_MS, signal);
  return manifest;
}

type Moment = TableContent & { readonly timeUs: number; readonly acknowledged: number };

async function makeMistake(
  { stage, story, signal }: Telling,
  shop: Session,
  receiver: WalReceiver,
): Promise<Moment> {
  story.chapter('A mistake');
  const acknowledged = (await stage.load?.stop()) ?? 0;
  stage.load = null;
  const content = await readOrders(shop);
  const [now] = await shop.query<{ text: string; micros: bigint; lsn: string }>(
    `SELECT clock_timestamp()::text AS text, ((extract(epoch FROM clock_timestamp()) - 946684800) * 1000000)::bigint AS micros`,
  );
  story.tell(
    `At ${now?.text ?? ''} the table orders holds ${content.rows.toLocaleString('en')} rows.`,
  );
  await sleep(POLL_MS, signal);
  await shop.query('DROP TABLE public.orders');
  story.tell('Then somebody types: DROP TABLE orders;');
  const after = new ShopAfterwards(shop);
  await after.goOn();
  story.tell('The shop does not stop: other tables go on being written.');
  const [end] = await shop.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn');
  await waitForWal(receiver, parseLsn(end?.lsn ?? '0/0'), signal);
  return { ...content, timeUs: Number(now?.micros), acknowledged };
}

/** What happens after the mistake and must not come back with it. */
class ShopAfterwards {
  readonly #shop: Session;

  constructor(shop: Session) {
    this.#shop = shop;
  }

  async goOn(): Promise<void> {
    for (let round = 0; round < 20; round += 1) {
      await this.#shop.query("UPDATE public.customers SET name = name || '!' WHERE id % 20 = $1", {
        parameters: [round],
      });
    }
  }
}

async function waitForWal(receiver: WalReceiver, lsn: bigint, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + WAL_TIMEOUT_MS;
  while ((receiver.flushed ?? 0n) < lsn) {
    if (Date.now() > deadline)
      throw new WalnutError('timeout', 'wait for the WAL of the demo: it did not come');
    await sleep(POLL_MS, signal);
  }
}

async function bringBack(
  { options, stage, story, signal }: Telling,
  timeUs: number,
): Promise<RestoreResult> {
  story.chapter('The moment before');
  const plan = await planRestore(
    { store: stage.store, now: new Date(), program: { shimPath: '/unused', configPath: null } },
    restoreRequest(stage, timeUs),
  );
  const result = await restore(plan, { store: stage.store, progress: SILENT_RESTORE, signal });
  story.tell(
    `Restored ${options.renderBytes(result.restoredBytes)} in ${options.renderDuration(result.durationMs)}, every frame ` +
      'checked by its hash; the old server was not touched.',
  );
  return result;
}

async function compare(
  { options, stage, story, signal }: Telling,
  moment: Moment,
): Promise<Pick<DemoResult, 'passed' | 'before' | 'after' | 'lostTransactions'>> {
  const startedMs = performance.now();
  const settings = await startRestored(stage, join(stage.folder, 'restored'));
  const session = await openSession(settings, { applicationName: 'walnut demo' });
  try {
    await waitForPromotion(session, signal);
    story.tell(
      `The restored cluster replayed its WAL to that moment and opened after ${options.renderDuration(performance.now() - startedMs)}.`,
    );
    const after = await readOrders(session);
    const lostTransactions = await countLost(session, moment.acknowledged);
    const isSame = after.rows === moment.rows && after.checksum === moment.checksum;
    story.tell(
      `Before the mistake: ${moment.rows.toLocaleString('en')} rows, checksum ${moment.checksum}.`,
    );
    story.tell(
      `In the restored one: ${after.rows.toLocaleString('en')} rows, checksum ${after.checksum}.`,
    );
    return { passed: isSame && lostTransactions === 0, before: moment, after, lostTransactions };
  } finally {
    await session.close();
  }
}

async function waitForPromotion(session: Session, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + RECOVERY_TIMEOUT_MS;
  for (;;) {
    const [row] = await session.query<{ recovering: boolean }>(
      'SELECT pg_is_in_recovery() AS recovering',
    );
    if (row?.recovering === false) return;
    if (Date.now() > deadline)
      throw new WalnutError('timeout', 'wait for the restored cluster: it is still in recovery');
    await sleep(POLL_MS, signal);
  }
}
