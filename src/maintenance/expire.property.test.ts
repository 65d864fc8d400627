/**
 * Whatever the history and the policy: what retention keeps stays restorable. The oracle knows nothing of the plan's
 * algorithm; it asks the catalogue before and after what can be restored.
 */
import { describe, expect, test } from 'vitest';
import {
  HISTORY_SERVER,
  makeRandomHistory,
  type Moment,
  type RandomHistory,
} from '../../test/support/random-history.ts';
import { isFullMatrix } from '../../test/support/matrix.ts';
import { drawSeed, randomBelow, seededRandom, type Random } from '../../test/support/random.ts';
import { backupsOnHistory, type BackupRecord } from '../catalog/backup-catalog.ts';
import { namesOf } from '../catalog/backup-deletion.ts';
import { recordExpiredWal } from '../catalog/expired-wal.ts';
import {
  planRetention,
  type RetentionInput,
  type RetentionPlan,
} from '../catalog/retention-plan.ts';
import { windowBegin } from '../catalog/retention-policy.ts';
import { newestTimeline, type WalInventory } from '../catalog/wal-inventory.ts';
import { followWal } from '../catalog/wal-path.ts';
import { readServerPicture, retentionInput } from './read-retention.ts';

const CASES = isFullMatrix() ? 2000 : 1000;
/** Tests that they are told in, so that a failing one is soon found. */
const BATCHES = 40;

const seed = drawSeed();

async function inputOf(history: RandomHistory): Promise<RetentionInput> {
  const picture = await readServerPicture(history.store, HISTORY_SERVER, history.now);
  const archives = picture.archives.map((archive) => ({
    ...archive,
    forkedAt: history.forkedAt.get(archive.inventory.name) ?? new Map(),
  }));
  return retentionInput({ ...picture, archives }, history.policy);
}

/** Applies a plan up to a random deletion, as a killed process would. */
async function applyTo(history: RandomHistory, plan: RetentionPlan, stopAt: number): Promise<void> {
  const { store } = history;
  for (const { inventory, ranges } of plan.archives) {
    const place = { server: HISTORY_SERVER, incarnation: inventory.name };
    if (ranges.length > 0) await recordExpiredWal(store, place, ranges);
  }
  const names = [
    ...plan.deletions.flatMap(({ manifests }) => manifests),
    ...plan.deletions.flatMap(({ content }) => content),
    ...plan.leftovers,
    ...plan.deletions.flatMap(({ notes }) => notes),
    ...plan.archives.flatMap(({ objects }) => objects),
  ];
  for (const { key } of names.slice(0, stopAt)) await store.delete(key);
}

/** The sound backup and its WAL from which a moment can be restored along a timeline. */
function restores(input: RetentionInput, { incarnation, timeline, lsn, time }: Moment): boolean {
  const inventory = inventoryOf(input, incarnation);
  const history = inventory?.histories.get(timeline);
  if (inventory === undefined || history === undefined) return false;
  return backupsOnHistory(soundOf(input, incarnation), history).some(
    ({ startLsn, stopLsn, finishedAt }) =>
      stopLsn <= lsn &&
      finishedAt <= time &&
      followWal(inventory, { timeline, from: startLsn }).end >= lsn,
  );
}

function soundOf({ catalog, unsound }: RetentionInput, incarnation: string): BackupRecord[] {
  return catalog.backups.filter(
    (each) => each.incarnation === incarnation && !unsound.has(each.id),
  );
}

function inventoryOf({ archives }: RetentionInput, incarnation: string): WalInventory | undefined {
  return archives.map(({ inventory }) => inventory).find(({ name }) => name === incarnation);
}

/** A branch is promised when it is the newest, or was begun or left inside the window. */
function isPromised(
  input: RetentionInput,
  { incarnation, timeline }: Moment,
  begin: Date,
): boolean {
  const archive = input.archives.find(({ inventory }) => inventory.name === incarnation);
  if (archive === undefined) return false;
  if (newestTimeline(archive.inventory) === timeline) return true;
  return [...archive.forkedAt].some(([child, forked]) => {
    const parent = archive.inventory.histories.get(child)?.ancestors.at(-1)?.timeline;
    return forked >= begin && (child === timeline || parent === timeline);
  });
}

async function keysOf(history: RandomHistory): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const { key } of history.store.list('')) keys.add(key);
  return keys;
}

async function checkCase(random: Random): Promise<void> {
  const history = await makeRandomHistory(random);
  const before = await inputOf(history);
  const stored = await keysOf(history);
  const plan = planRetention(before);
  const total = plan.deletions.reduce((sum, each) => sum + namesOf(each).length, 0);
  const wal = plan.archives.reduce((sum, { objects }) => sum + objects.length, 0);
  const all = total + plan.leftovers.length + wal;
  const isKilled = random() < 0.5;
  await applyTo(history, plan, isKilled ? randomBelow(random, all + 1) : all);
  const after = await inputOf(history);
  checkKept(before, after, plan);
  checkWindow(history, before, after);
  if (isKilled) await applyTo(history, planRetention(after), Number.MAX_SAFE_INTEGER);
  const last = await inputOf(history);
  checkKept(before, last, plan);
  checkWindow(history, before, last);
  const again = planRetention(last);
  expect(again.deletions).toEqual([]);
  expect(again.leftovers).toEqual([]);
  expect(again.archives.flatMap(({ objects }) => objects)).toEqual([]);
  const left = await keysOf(history);
  const gone = [...stored].filter((key) => !left.has(key));
  expect(gone.filter((key) => key.endsWith('.history') || key.includes('/server-'))).toEqual([]);
  checkNoRubbish(left, last);
}

/** Kept backups are as sound as before, with everything their manifests name. */
function checkKept(before: RetentionInput, after: RetentionInput, plan: RetentionPlan): void {
  const keys = new Set(after.objects.map(({ key }) => key));
  const listed = new Map(after.catalog.backups.map((backup) => [backup.id, backup]));
  const going = new Set(plan.deletions.map(({ id }) => id));
  for (const { backup, reasons } of plan.backups) {
    expect(going.has(backup.id)).toBe(plan.heldBack === null && reasons.length === 0);
    if (going.has(backup.id)) continue;
    const { manifest } = listed.get(backup.id) ?? {};
    expect(manifest).toEqual(backup.manifest);
    const needed = [...(manifest?.packs ?? []), ...(manifest?.chunks ?? [])];
    expect(needed.filter(({ key }) => !keys.has(key))).toEqual([]);
    expect([backup.id, after.unsound.get(backup.id)]).toEqual([
      backup.id,
      before.unsound.get(backup.id),
    ]);
  }
  expect(after.catalog.unreadable).toEqual([]);
  const sound = before.catalog.backups.filter(({ id }) => !before.unsound.has(id));
  const newest = sound.toSorted(
    (one, other) => other.finishedAt.getTime() - one.finishedAt.getTime(),
  )[0];
  if (newest !== undefined) expect(listed.has(newest.id)).toBe(true);
}

function checkWindow(history: RandomHistory, before: RetentionInput, after: RetentionInput): void {
  const { catalog, unsound, marks, beingRead } = before;
  const facts = { backups: catalog.backups, unsound, marks, beingRead };
  const begin = windowBegin(history.policy, facts, history.now);
  for (const moment of history.moments) {
    if (moment.time < begin || !isPromised(before, moment, begin)) continue;
    if (restores(before, moment)) expect([moment, restores(after, moment)]).toEqual([moment, true]);
  }
}

function checkNoRubbish(left: ReadonlySet<string>, input: RetentionInput): void {
  const named = new Set(
    input.catalog.backups.flatMap(({ manifest, manifestKey }) => [
      manifestKey,
      ...manifest.packs.map(({ key }) => key),
      ...manifest.chunks.map(({ key }) => key),
    ]),
  );
  // What lies behind the newest backup is for the next backup to take over or remove.
  const newest =
    input.catalog.backups
      .map(({ id }) => id)
      .toSorted()
      .at(-1) ?? '';
  const rubbish = [...left].filter(
    (key) =>
      /\/(?:pack|map|manifest)-/.test(key) &&
      !named.has(key) &&
      (key.split('/')[2] ?? '') <= newest,
  );
  expect(rubbish).toEqual([]);
}

describe('retention', () => {
  test.each(Array.from({ length: BATCHES }, (_, batch) => batch))(
    `keeps what it promises, also when it is killed (batch %i of seed ${seed})`,
    async (batch) => {
      expect.hasAssertions();
      for (let number = 0; number < CASES / BATCHES; number += 1) {
        const name = `${seed}-${batch}-${number}`;
        try {
          await checkCase(seededRandom(name));
        } catch (error) {
          throw new Error(`case ${name}`, { cause: error });
        }
      }
    },
  );
});
