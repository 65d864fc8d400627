/** Random lives of a protected server: backups that share packs, WAL, promotions, upgrades, losses. In memory. */
import type { RetentionPolicy } from '../../src/catalog/retention-policy.ts';
import { formatLsn, toLsn, type Lsn } from '../../src/postgres/lsn.ts';
import { formatSegmentName, segmentNumberAt } from '../../src/postgres/segment-name.ts';
import {
  extentOf,
  formatTimelineHistory,
  historyFileName,
  rootHistory,
  type TimelineHistory,
} from '../../src/postgres/timeline-history.ts';
import { toTimelineId, type TimelineId } from '../../src/postgres/timeline-id.ts';
import { backupIdOf, newBackupStamp, type BackupId } from '../../src/repository/backup-id.ts';
import { backupKeys, walKeys, type IncarnationName } from '../../src/repository/layout.ts';
import { storeManifest, type Manifest } from '../../src/repository/manifest.ts';
import {
  addIncarnation,
  createRepository,
  nameOfIncarnation,
} from '../../src/repository/repository.ts';
import { storeWalObject } from '../../src/repository/wal-object.ts';
import { openMemoryStore } from '../../src/storage/memory/memory-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { pickOne, randomBelow, type Random } from './random.ts';
import { exampleManifest } from './stored-backup.ts';

export const HISTORY_SERVER = 'shop';
const MAJOR = 18;
const HOUR_MS = 3_600_000;
const BEGIN = Date.parse('2026-01-01T00:00:00Z');

/** A place in the WAL and the time at which it was written. */
export type Moment = {
  readonly incarnation: IncarnationName;
  readonly timeline: TimelineId;
  readonly lsn: Lsn;
  readonly time: Date;
};

export type RandomHistory = {
  readonly store: ObjectStore;
  readonly now: Date;
  readonly policy: RetentionPolicy;
  readonly moments: readonly Moment[];
  /** By incarnation, then timeline. */
  readonly forkedAt: ReadonlyMap<IncarnationName, ReadonlyMap<TimelineId, Date>>;
};

type Life = {
  readonly random: Random;
  readonly store: ObjectStore;
  readonly segmentBytes: number;
  readonly moments: Moment[];
  readonly forkedAt: Map<IncarnationName, Map<TimelineId, Date>>;
  readonly ids: BackupId[];
  readonly manifests: Manifest[];
  systemIdentifier: bigint;
  incarnation: IncarnationName;
  history: TimelineHistory;
  timelines: number;
  lsn: Lsn;
  timeMs: number;
};

export async function makeRandomHistory(random: Random): Promise<RandomHistory> {
  const life: Life = {
    random,
    store: openMemoryStore(),
    segmentBytes: 2 ** (20 + randomBelow(random, 7)),
    moments: [],
    forkedAt: new Map(),
    ids: [],
    manifests: [],
    systemIdentifier: 7_432_109_876_543_210_000n,
    incarnation: '',
    history: rootHistory(),
    timelines: 1,
    lsn: toLsn(0n),
    timeMs: BEGIN,
  };
  await createRepository(life.store, new Date(BEGIN));
  await beginIncarnation(life);
  for (let steps = 4 + randomBelow(random, 24); steps > 0; steps -= 1) {
    const draw = random();
    if (draw < 0.5) await takeBackup(life);
    else if (draw < 0.88) await writeWal(life, randomBelow(random, 5));
    else if (draw < 0.98) await promote(life);
    else await beginIncarnation(life);
  }
  const { store, moments, forkedAt } = life;
  return { store, now: new Date(life.timeMs), policy: randomPolicy(random), moments, forkedAt };
}

function randomPolicy(random: Random): RetentionPolicy {
  const maybe = (limit: number): number | null =>
    random() < 0.5 ? null : randomBelow(random, limit);
  return {
    windowMs: random() < 0.3 ? null : randomBelow(random, 20 * 24) * HOUR_MS,
    keep: {
      full: maybe(4),
      daily: maybe(6),
      weekly: maybe(4),
      monthly: maybe(3),
      yearly: maybe(2),
    },
    minimumRedundancy: 1 + randomBelow(random, 3),
  };
}

async function beginIncarnation(life: Life): Promise<void> {
  life.systemIdentifier += 1n;
  life.history = rootHistory();
  life.timelines = 1;
  life.lsn = at(life, BigInt(1 + randomBelow(life.random, 4)), 0);
  const incarnation = {
    systemIdentifier: String(life.systemIdentifier),
    majorVersion: MAJOR,
    walSegmentBytes: life.segmentBytes,
    firstSeenAt: new Date(life.timeMs).toISOString(),
  };
  await addIncarnation(life.store, HISTORY_SERVER, incarnation);
  life.incarnation = nameOfIncarnation(incarnation);
  life.forkedAt.set(life.incarnation, new Map());
}

/** Writes and stores whole segments; now and then one is lost. */
async function writeWal(life: Life, segments: number): Promise<void> {
  const { random, segmentBytes } = life;
  let number = segmentNumberAt(life.lsn, segmentBytes);
  const end = number + BigInt(segments);
  for (; number < end; number += 1n) {
    life.timeMs += randomBelow(random, 16) * HOUR_MS;
    const key = segmentKey(life, number);
    if (random() > 0.02 && (await life.store.stat(key)) === null) {
      await life.store.put(key, Buffer.alloc(1));
    }
    life.lsn = at(life, number + 1n, 0);
    noteMoment(life);
  }
}

async function takeBackup(life: Life): Promise<void> {
  const { random, segmentBytes, store, manifests } = life;
  const startLsn = toLsn(life.lsn + BigInt(randomBelow(random, segmentBytes / 8) + 40));
  const startedAt = new Date(life.timeMs);
  life.lsn = startLsn;
  await writeWal(life, 1 + randomBelow(random, 3));
  const stopLsn = life.lsn;
  life.timeMs += 1000 + randomBelow(random, 3 * HOUR_MS);
  const type = pickOne(random, ['full', 'differential', 'incremental', 'incremental'] as const);
  const id = backupIdOf(newBackupStamp(startedAt, life.ids), type);
  life.ids.push(id);
  const parent = type === 'full' ? undefined : manifests.at(-1);
  const inherited = [...(parent?.packs ?? [])].filter(() => random() < 0.7);
  const packs = [...inherited];
  for (let count = 1 + randomBelow(random, 2); count > 0; count -= 1) {
    const key = backupKeys.pack(HISTORY_SERVER, id, packs.length + 1);
    await store.put(key, Buffer.alloc(3));
    packs.push({ ...PACK_FACTS, key });
  }
  const chunks = [...(parent?.chunks ?? [])].filter(() => random() < 0.5);
  const hash = String(life.ids.length).padStart(32, '0');
  const chunk = { key: backupKeys.map(HISTORY_SERVER, id, hash), hash, files: 1, storedBytes: 2 };
  await store.put(chunk.key, Buffer.alloc(2));
  chunks.push({ ...chunk, firstPath: 'a', lastPath: 'b' });
  const timeline = life.history.timeline;
  const manifest = exampleManifest({
    id,
    type,
    parent: parent?.id ?? null,
    systemIdentifier: String(life.systemIdentifier),
    majorVersion: MAJOR,
    timeline,
    stopTimeline: timeline,
    startLsn: formatLsn(startLsn),
    stopLsn: formatLsn(stopLsn),
    startedAt: startedAt.toISOString(),
    finishedAt: new Date(life.timeMs).toISOString(),
    damage: random() < 0.1 ? [{ file: 'base/5/1', block: 0, relation: null }] : [],
    packs,
    chunks,
  });
  await storeManifest(store, manifest, 1);
  await store.put(backupKeys.attempt(HISTORY_SERVER, id), Buffer.alloc(1));
  manifests.push(manifest);
  noteMoment(life);
}

const PACK_FACTS: Omit<Manifest['packs'][number], 'key'> = {
  storedBytes: 3,
  plainBytes: 3,
  livePlainBytes: 3,
};

/** A standby that had not yet seen the last WAL takes over. */
async function promote(life: Life): Promise<void> {
  const { random, segmentBytes, store } = life;
  const begin = extentOf(life.history, life.history.timeline)?.start ?? toLsn(0n);
  const lost = BigInt(randomBelow(random, 3 * segmentBytes));
  const end = toLsn(life.lsn - lost > begin ? life.lsn - lost : begin);
  if (end === 0n) return;
  life.timelines += 1;
  const timeline = toTimelineId(life.timelines);
  const left = { timeline: life.history.timeline, end, reason: 'no recovery target specified' };
  life.history = { timeline, ancestors: [...life.history.ancestors, left] };
  life.lsn = end;
  life.timeMs += randomBelow(random, 30) * HOUR_MS;
  life.forkedAt.get(life.incarnation)?.set(timeline, new Date(life.timeMs));
  await storeWalObject(store, {
    key: walKeys.history(HISTORY_SERVER, life.incarnation, historyFileName(timeline)),
    kind: 'timeline-history',
    plain: Buffer.from(formatTimelineHistory(life.history)),
    level: 1,
  });
  await writeWal(life, 1);
}

function noteMoment({ moments, incarnation, history, lsn, timeMs }: Life): void {
  moments.push({ incarnation, timeline: history.timeline, lsn, time: new Date(timeMs) });
}

function segmentKey({ incarnation, history, segmentBytes }: Life, number: bigint): string {
  const { timeline } = history;
  const place = { server: HISTORY_SERVER, incarnation, timeline };
  return walKeys.segment(place, formatSegmentName({ timeline, number }, segmentBytes));
}

function at({ segmentBytes }: Life, segment: bigint, offset: number): Lsn {
  return toLsn(segment * BigInt(segmentBytes) + BigInt(offset));
}
