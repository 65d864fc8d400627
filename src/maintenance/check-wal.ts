/** Checks the WAL of one incarnation: every object, and that there is no hole in what backups need. */
import { subtractRanges } from '../catalog/lsn-ranges.ts';
import {
  gapsOf,
  readWalInventory,
  type WalInventory,
  type WalScope,
} from '../catalog/wal-inventory.ts';
import { parseWalKey } from '../catalog/wal-key.ts';
import { formatLsn } from '../postgres/lsn.ts';
import { formatSegmentName, segmentNumberAt } from '../postgres/segment-name.ts';
import { historyFileName, type LsnRange } from '../postgres/timeline-history.ts';
import { walKeys } from '../repository/layout.ts';
import { nameOfIncarnation } from '../repository/repository.ts';
import type { WalTask } from './check-task.ts';
import type { BackupUse } from './load-backups.ts';
import { nameOfWalObject } from './object-kind.ts';
import { countObject, type VerifyRun } from './verify-run.ts';
import { hitByHistory, hitByWal, type WalHits } from './wal-hits.ts';
import { walOfBackup } from './wal-of-backup.ts';

export async function checkWal(
  run: VerifyRun,
  scope: WalScope,
  allBackups: readonly BackupUse[],
): Promise<void> {
  const { store, backup: only } = run.options;
  const name = nameOfIncarnation(scope.incarnation);
  const backups = allBackups.filter(({ incarnation }) => incarnation === name);
  if (only !== null && backups.length === 0) return;
  const prefix = walKeys.incarnation(scope.server, name);
  const faulty: string[] = [];
  const before = only === null ? null : await readWalInventory(store, scope);
  const tasks =
    before === null ? storedWal(run, scope, prefix) : neededWal(run, { before, backups, prefix });
  await run.lanes.run(tasks, ({ key }, { fault, bytes }) => {
    // What was listed and is gone was taken away on purpose, such as a piece; holes are found by continuity.
    if (fault === 'missing') return;
    countObject(run, bytes);
    if (fault === null) return;
    run.ledger.add(key, fault);
    faulty.push(key);
  });
  const inventory = await readWalInventory(store, scope);
  const hits: WalHits = { ledger: run.ledger, inventory, backups };
  for (const key of faulty) hitByObject(hits, key, prefix);
  await checkContinuity(run, hits);
  if (only === null) await checkHoles(run, hits);
}

async function* storedWal(
  run: VerifyRun,
  scope: WalScope,
  prefix: string,
): AsyncGenerator<WalTask> {
  for await (const { key, sizeBytes } of run.options.store.list(prefix)) {
    const task = taskOf(scope, { key, sizeBytes, path: key.slice(prefix.length) });
    if (task === null) run.unexpected.push(key);
    else if (task.name.kind !== 'segment' || run.takes(key)) yield task;
  }
}

/** What the chosen backup needs to be restored at all. */
async function* neededWal(
  run: VerifyRun,
  need: { before: WalInventory; backups: readonly BackupUse[]; prefix: string },
): AsyncGenerator<WalTask> {
  const { before: inventory, backups, prefix } = need;
  const keys = new Set<string>();
  for (const backup of backups) {
    for (const key of walOfBackup(inventory, backup).keys) keys.add(key);
  }
  for (const key of keys) {
    const info = await run.options.store.stat(key);
    if (info === null) continue;
    const object = { key, sizeBytes: info.sizeBytes, path: key.slice(prefix.length) };
    const task = taskOf(inventory, object);
    if (task !== null) yield task;
  }
}

function taskOf(
  { incarnation }: WalScope,
  { key, sizeBytes, path }: { key: string; sizeBytes: number; path: string },
): WalTask | null {
  const { walSegmentBytes: segmentBytes, majorVersion } = incarnation;
  const name = nameOfWalObject(path, segmentBytes);
  if (name === null) return null;
  const systemIdentifier = BigInt(incarnation.systemIdentifier);
  const identity = { segmentBytes, majorVersion, systemIdentifier };
  return { kind: 'wal', key, sizeBytes, name, identity };
}

function hitByObject(hits: WalHits, key: string, prefix: string): void {
  const { ledger, inventory } = hits;
  const { segmentBytes, timelines } = inventory;
  const parsed = parseWalKey(key.slice(prefix.length), segmentBytes);
  if (parsed === null) return;
  switch (parsed.kind) {
    case 'segment':
    case 'partial':
    case 'piece': {
      const stored = timelines.get(parsed.timeline);
      const { number, timeline } = parsed;
      const isSpare =
        parsed.kind !== 'segment' &&
        stored?.runs.some(({ first, last }) => first <= number && number <= last) === true;
      if (isSpare) ledger.hit(key, [], { what: 'nothing: the finished segment is stored too' });
      else hitByWal(hits, key, segmentRange(timeline, number, segmentBytes));
      return;
    }
    case 'history':
      hitByHistory(hits, key, parsed.timeline);
      return;
    case 'changes':
      ledger.hit(key, [], { what: 'nothing for good: the next backups may have to read more' });
      return;
    case 'index':
      ledger.hit(key, [], { what: 'nothing for good: it can be made again from the WAL' });
      return;
    case 'gap':
    case 'backup-history':
      ledger.hit(key, [], { what: 'nothing that a restore needs' });
  }
}

function segmentRange(
  timeline: LsnRange['timeline'],
  number: bigint,
  segmentBytes: number,
): LsnRange {
  const start = (number * BigInt(segmentBytes)) as LsnRange['start'];
  const end = (start + BigInt(segmentBytes)) as LsnRange['end'];
  return { timeline, start, end };
}

/** Every backup's WAL from start to stop must be there. */
async function checkContinuity(run: VerifyRun, hits: WalHits): Promise<void> {
  const { inventory, backups } = hits;
  for (const backup of backups) {
    run.signal.throwIfAborted();
    const { missing } = walOfBackup(inventory, backup);
    for (const range of missing) await reportMissing(run, hits, range);
  }
  for (const timeline of inventory.timelines.keys()) {
    const isUnknown =
      !inventory.histories.has(timeline) &&
      !inventory.damaged.some(({ key }) => key.endsWith(`/${historyFileName(timeline)}`));
    if (!isUnknown) continue;
    const { server, name } = inventory;
    const key = walKeys.history(server, name, historyFileName(timeline));
    if ((await run.options.store.stat(key)) !== null) continue;
    run.ledger.add(key, 'missing');
    hitByHistory(hits, key, timeline);
  }
}

/** WAL that is missing between what is stored, unless it is known that the server no longer had it. */
async function checkHoles(run: VerifyRun, hits: WalHits): Promise<void> {
  const { inventory } = hits;
  const recorded = [...inventory.timelines.values()].flatMap(({ recordedGaps }) => recordedGaps);
  for (const gap of gapsOf(inventory)) {
    const known = recorded.filter(({ timeline }) => timeline === gap.timeline);
    for (const range of subtractRanges([gap], known)) await reportMissing(run, hits, range);
  }
}

async function reportMissing(run: VerifyRun, hits: WalHits, range: LsnRange): Promise<void> {
  const { server, name: incarnation, segmentBytes } = hits.inventory;
  const { timeline, start, end } = range;
  const number = segmentNumberAt(start, segmentBytes);
  const segment = formatSegmentName({ timeline, number }, segmentBytes);
  const key = walKeys.segment({ server, incarnation, timeline }, segment);
  // Stored since the inventory was taken.
  if ((await run.options.store.stat(key)) !== null) return;
  const count = segmentNumberAt((end - 1n) as LsnRange['end'], segmentBytes) - number + 1n;
  const extent = `WAL ${formatLsn(start)} to ${formatLsn(end)}`;
  run.ledger.add(
    key,
    count === 1n ? 'missing' : `missing, as are ${count - 1n} segments behind it (${extent})`,
  );
  hitByWal(hits, key, range);
}
