import { describe, expect, test } from 'vitest';
import type { ZodType } from 'zod';
import { contractTime } from './contract-fields.ts';
import {
  backupDocument,
  checkDocument,
  completionDocument,
  demoDocument,
  errorDocument,
  initDocument,
  listDocument,
  showDocument,
  verifyDocument,
} from './contract.ts';
import {
  compactDocument,
  deleteDocument,
  expireDocument,
  keepDocument,
} from './retention-contract.ts';
import { restoreDocument, restorePlanDocument } from './restore-contract.ts';
import {
  walFetchDocument,
  walPushDocument,
  walReceiveEvent,
  walSlotDocument,
  walStatusDocument,
  walSwitchDocument,
} from './wal-contract.ts';

const time = contractTime(new Date('2026-11-22T19:15:00Z'));
const segment = '000000010000000000000005';
const listedFacts = {
  id: '20261122T191500Z-F',
  type: 'full',
  parent: null,
  startedAt: time,
  finishedAt: time,
  startLsn: '0/2000028',
  stopLsn: '16/B374D848',
  timeline: 1,
  clusterBytes: 1,
  storedBytes: 1,
};
const listed = { ...listedFacts, damaged: false, kept: false };
const backup = {
  ...listedFacts,
  server: 'shop',
  source: 'local',
  changeSource: null,
  durationMs: 12,
  readBytes: 1,
  files: 1,
  changedFiles: 1,
  pages: 1,
  changedPages: 1,
  damagedPages: 1,
  damage: [{ file: 'base/5/16384', block: 7, relation: null }],
  warnings: [],
};
const range = { timeline: 1, fromLsn: '0/1', toLsn: '0/2' };
const window = { ...range, from: time, to: time };
const leaving = {
  server: 'shop',
  dryRun: true,
  leftovers: { objects: 0, freedBytes: 0 },
  recoveryWindows: { before: [window], after: [] },
  freedBytes: 1,
};
const expired = {
  ...leaving,
  windowBegin: time,
  heldBack: null,
  backups: [
    {
      id: '20261122T191500Z-F',
      type: 'full',
      finishedAt: time,
      action: 'keep',
      reasons: ['window'],
      freedBytes: 0,
    },
  ],
  wal: [{ incarnation: '1-18', timeline: 1, ranges: [range], objects: 1, freedBytes: 1 }],
};
const deleted = {
  ...leaving,
  backups: [{ id: '20261122T191500Z-F', objects: 3, freedBytes: 1 }],
  contentStays: null,
};
const restored = {
  server: 'shop',
  backup: listed.id,
  target: '/srv/restored',
  recoveryTarget: { kind: 'time', value: time, inclusive: true, lsn: null },
  timeline: 1,
  readBytes: 1,
  wal: { mode: 'fetch', firstSegment: segment, lastSegment: null, segments: 1 },
};
const restore = { ...restored, restoredBytes: 1, keptBytes: 2, deletedFiles: 0, durationMs: 5 };
const event = { at: time, server: 'shop' };

const DOCUMENTS: [string, ZodType, Record<string, unknown>][] = [
  ['backup', backupDocument, backup],
  [
    'list',
    listDocument,
    {
      servers: [
        {
          name: 'shop',
          systemIdentifier: '7432109876543210987',
          majorVersion: 18,
          backups: [listed],
          recoveryWindows: [{ timeline: 1, from: time, to: time, fromLsn: '0/1', toLsn: '0/2' }],
          gaps: [{ timeline: 1, fromLsn: '0/1', toLsn: '0/2', planned: false }],
        },
      ],
    },
  ],
  [
    'show',
    showDocument,
    {
      ...listed,
      server: 'shop',
      name: null,
      keptUntil: null,
      source: 'stream',
      changeSource: null,
      systemIdentifier: '7432109876543210987',
      serverVersion: '18.4',
      checkpointLsn: '0/2000060',
      dataChecksums: true,
      walSegmentBytes: 16_777_216,
      files: 1,
      pages: 1,
      packs: 1,
      tablespaces: [{ oid: 16_384, name: 'fast', location: '/mnt/fast' }],
      databases: [{ oid: 5, name: 'postgres' }],
      settings: { wal_level: 'replica' },
      damage: [],
      warnings: [],
    },
  ],
  ['restore', restoreDocument, restore],
  [
    'restore --dry-run',
    restorePlanDocument,
    {
      ...restored,
      dryRun: true,
      restoreBytes: 1,
      freeBytes: null,
      files: 1,
      overwrites: ['/data'],
      delta: {
        found: 'cluster',
        comparedFiles: 1,
        comparedBytes: 2,
        deletedFiles: 1,
        deletedBytes: 3,
        deletes: ['/data/base/5/16384'],
      },
      settings: { archive_mode: 'off' },
      warnings: [],
    },
  ],
  ['expire', expireDocument, expired],
  ['delete', deleteDocument, deleted],
  ['keep', keepDocument, { server: 'shop', backup: '20261122T191500Z-F', kept: true, until: time }],
  [
    'compact',
    compactDocument,
    {
      server: 'shop',
      dryRun: false,
      thresholdPercent: 50,
      packs: [
        { key: 'k', storedBytes: 1, livePercent: 12.5, action: 'rewrite', reason: null },
        { key: 'l', storedBytes: 1, livePercent: 0, action: 'hold', reason: 'it is being read' },
      ],
      damaged: [{ key: 'k', reason: 'r', frames: null, backups: ['20261122T191500Z-F'] }],
      backups: [{ id: '20261122T191500Z-F', revision: 2 }],
      writtenBytes: 1,
      freedBytes: 2,
    },
  ],
  [
    'verify',
    verifyDocument,
    {
      checkedObjects: 1,
      checkedBytes: 1,
      damaged: [{ key: 'k', reason: 'r', backups: [], affects: [] }],
    },
  ],
  [
    'check',
    checkDocument,
    {
      passed: false,
      servers: [
        {
          server: 'shop',
          passed: false,
          checks: [{ name: 'connection', passed: true, detail: 'd', fix: null }],
        },
      ],
    },
  ],
  [
    'demo',
    demoDocument,
    {
      passed: true,
      postgresVersion: '18.4',
      backup,
      restore,
      rowsBefore: 1,
      rowsAfter: 1,
      checksumBefore: 'a',
      checksumAfter: 'a',
      lostTransactions: 0,
    },
  ],
  [
    'init',
    initDocument,
    {
      configFile: '/etc/walnut/walnut.toml',
      configWritten: true,
      repository: { name: 'main', url: 'file:///backup', created: true },
      server: 'shop',
      slot: { name: 'walnut_shop', created: true },
      newIncarnation: false,
      missing: [{ kind: 'sql', text: 'GRANT …', reason: 'to read' }],
    },
  ],
  ['completion', completionDocument, { shell: 'bash', script: '' }],
  ['an error', errorDocument, { error: { code: 'usage', message: 'm', hint: null, cause: null } }],
  [
    'wal status',
    walStatusDocument,
    {
      servers: [
        {
          server: 'shop',
          systemIdentifier: null,
          timelines: [
            {
              timeline: 1,
              segments: 1,
              storedBytes: 1,
              firstSegment: segment,
              lastSegment: segment,
              ranges: [{ fromLsn: '0/1', toLsn: '0/2' }],
            },
          ],
          gaps: [],
          serverLsn: null,
          storedLsn: '0/2',
          lagBytes: null,
          lagMs: null,
          slot: {
            name: 'walnut_shop',
            exists: true,
            active: true,
            restartLsn: '0/1',
            walStatus: 'reserved',
            retainedBytes: 0,
          },
          error: null,
        },
      ],
    },
  ],
  ['wal switch', walSwitchDocument, { server: 'shop', lsn: '0/1', segment, stored: true }],
  [
    'wal slot',
    walSlotDocument,
    { server: 'shop', slot: 's', outcome: 'created', restartLsn: '0/1' },
  ],
  ['wal push', walPushDocument, { server: 'shop', file: segment, outcome: 'stored', bytes: 1 }],
  [
    'wal fetch',
    walFetchDocument,
    { server: 'shop', name: segment, destination: 'd', source: 'pieces', bytes: 1 },
  ],
  [
    'wal receive: streaming',
    walReceiveEvent,
    { ...event, event: 'streaming', slot: 's', timeline: 1, startLsn: '0/1' },
  ],
  [
    'wal receive: gap',
    walReceiveEvent,
    { ...event, event: 'gap', timeline: 1, fromLsn: '0/1', toLsn: '0/2', reason: 'r' },
  ],
  ['wal receive: stopped', walReceiveEvent, { ...event, event: 'stopped', flushedLsn: null }],
];

describe('the contract', () => {
  test.each(DOCUMENTS)('%s: takes its document', (_, schema, document) => {
    expect(schema.parse(JSON.parse(JSON.stringify(document)))).toEqual(document);
  });

  test.each(DOCUMENTS)('%s: refuses one field more or less', (_, schema, document) => {
    expect(schema.safeParse({ ...document, further: 1 }).success).toBe(false);
    for (const key of Object.keys(document)) {
      const { [key]: _left, ...rest } = document;
      expect([key, schema.safeParse(rest).success]).toEqual([key, false]);
      expect([key, schema.safeParse({ ...rest, [key]: undefined }).success]).toEqual([key, false]);
    }
  });

  test.each([
    ['an id', { id: '20261122T191500Z' }],
    ['an LSN with zeros in front of its slash only', { startLsn: '2000028' }],
    ['an LSN in small letters', { startLsn: '16/b374d848' }],
    ['a time without milliseconds', { startedAt: '2026-11-22T19:15:00Z' }],
    ['a time of another zone', { startedAt: '2026-11-22T19:15:00.000+01:00' }],
    ['a size as text', { clusterBytes: '1' }],
    ['a negative size', { clusterBytes: -1 }],
    ['timeline 0', { timeline: 0 }],
    ['a type that does not exist', { type: 'partial' }],
  ])('refuses %s', (_, change) => {
    expect(backupDocument.safeParse({ ...backup, ...change }).success).toBe(false);
  });
});
