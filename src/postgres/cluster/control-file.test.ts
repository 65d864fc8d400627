import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { readClusterFixture } from '../../../test/fixtures/cluster/read-fixture.ts';
import { crc32c } from '../../lib/hashing.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { formatLsn } from '../lsn.ts';
import { SUPPORTED_MAJORS } from '../version.ts';
import { CLUSTER_VERSIONS } from './cluster-versions.ts';
import { isControlFileTorn, parseControlFile } from './control-file.ts';

const CRC_OFFSETS = { 13: 288, 14: 288, 15: 288, 16: 288, 17: 288, 18: 292 };

/** A real control file with some bytes replaced, under a checksum that is right again. */
function altered(major: 13 | 18, change: (view: DataView) => void): Buffer {
  const bytes = readClusterFixture(major, 'pg_control');
  change(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, CRC_OFFSETS[major])), CRC_OFFSETS[major]);
  return bytes;
}

describe.each(SUPPORTED_MAJORS)('pg_control of version %i', (major) => {
  const bytes = readClusterFixture(major, 'pg_control');
  const said = JSON.parse(readClusterFixture(major, 'pg_control.json').toString()) as Record<
    string,
    unknown
  >;

  test('says what the server says of it', () => {
    const control = parseControlFile(bytes);
    expect({
      system_identifier: String(control.systemIdentifier),
      checkpoint_lsn: formatLsn(control.checkpoint),
      redo_lsn: formatLsn(control.redo),
      timeline_id: control.timeline,
      pg_control_version: control.controlVersion,
      catalog_version_no: control.catalogVersion,
    }).toEqual(said);
  });

  test('shows state, settings and sizes', () => {
    const control = parseControlFile(bytes);
    expect(control).toMatchObject({
      major,
      state: 'in production',
      previousTimeline: 1,
      fullPageWrites: true,
      minRecoveryPoint: 0n,
      minRecoveryPointTimeline: 0,
      backupStartPoint: 0n,
      backupEndPoint: 0n,
      backupEndRequired: false,
      walLevel: 'replica',
      walLogHints: false,
      requiredSettings: {
        maxConnections: 57,
        maxWorkerProcesses: 8,
        maxWalSenders: 10,
        maxPreparedTransactions: 0,
        maxLocksPerTransaction: 71,
      },
      blockSize: 8192,
      relationSegmentBlocks: 131072,
      walBlockSize: 8192,
      walSegmentBytes: 16 * 1024 * 1024,
      dataChecksumVersion: 1,
      charSignedness: major === 18 ? 'signed' : null,
    });
    expect(control.nextXid).toBeGreaterThan(3n);
    expect(control.updatedAt.getTime()).toBeGreaterThanOrEqual(control.checkpointTime.getTime());
    expect(control.checkpointTime.getUTCFullYear()).toBe(2026);
  });

  test('follows a promotion and a shutdown', () => {
    const control = parseControlFile(readClusterFixture(major, 'pg_control.stopped'));
    expect(control).toMatchObject({ state: 'shut down', timeline: 3, previousTimeline: 3 });
  });

  test('shows how far a standby must recover, as the standby itself says', () => {
    const control = parseControlFile(readClusterFixture(major, 'pg_control.recovery'));
    const recovery: unknown = JSON.parse(
      readClusterFixture(major, 'pg_control.recovery.json').toString(),
    );
    expect({
      min_recovery_end_lsn: formatLsn(control.minRecoveryPoint),
      min_recovery_end_timeline: control.minRecoveryPointTimeline,
      backup_start_lsn: formatLsn(control.backupStartPoint),
      backup_end_lsn: formatLsn(control.backupEndPoint),
      end_of_backup_record_required: control.backupEndRequired,
    }).toEqual(recovery);
    expect(control).toMatchObject({ state: 'in archive recovery', minRecoveryPointTimeline: 3 });
    expect(control.minRecoveryPoint).toBeGreaterThan(0n);
  });

  test('a flipped bit anywhere in its data is noticed', () => {
    fc.assert(
      fc.property(fc.nat((CRC_OFFSETS[major] + 4) * 8 - 1), (bit) => {
        const broken = Buffer.from(bytes);
        broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => parseControlFile(broken)).toThrow(WalnutError);
        const inVersion = bit >> 5 === 2;
        expect(isControlFileTorn(broken)).toBe(!inVersion);
      }),
    );
  });

  test('a cut is noticed, and what follows the checksum does not matter', () => {
    for (const length of [0, 3, 8, 11, 12, 200, CRC_OFFSETS[major] + 3]) {
      expect(() => parseControlFile(bytes.subarray(0, length))).toThrow(/has only \d+ bytes/);
      expect(isControlFileTorn(bytes.subarray(0, length))).toBe(true);
    }
    const shortest = bytes.subarray(0, CRC_OFFSETS[major] + 4);
    expect(parseControlFile(shortest)).toEqual(parseControlFile(bytes));
    expect(isControlFileTorn(bytes)).toBe(false);
  });
});

describe('a control file Walnut cannot use', () => {
  test.each([
    ['version 12', 1201],
    ['version 19', 1903],
    ['a big-endian machine', 0x14050000],
  ])('of %s is refused by its number', (_what, version) => {
    const bytes = altered(13, (view) => view.setUint32(8, version, true));
    expect(() => parseControlFile(bytes)).toThrow(
      expect.objectContaining({
        code: 'unsupported',
        message: expect.stringContaining(String(version)) as string,
      }) as Error,
    );
    expect(isControlFileTorn(bytes)).toBe(false);
  });

  test('of zeros is torn, and never taken for a version', () => {
    expect(isControlFileTorn(new Uint8Array(8192))).toBe(true);
  });

  test.each([
    ['an unknown catalogue', [12, 1], 'unsupported'],
    [
      'a catalogue of another control version',
      [12, CLUSTER_VERSIONS[18].catalogVersion],
      'unsupported',
    ],
    ['a state that does not exist', [16, 7], 'object-damaged'],
    ['a wal_level that does not exist', [172, 3], 'object-damaged'],
    ['timeline 0', [48, 0], 'object-damaged'],
    ['an odd WAL segment size', [228, 16_000_000], 'object-damaged'],
  ] as const)('with %s is refused though its checksum is right', (_what, [offset, value], code) => {
    const bytes = altered(13, (view) => view.setUint32(offset, value, true));
    expect(() => parseControlFile(bytes)).toThrow(expect.objectContaining({ code }) as Error);
  });

  test.each([13, 18] as const)('of version %i shows a backup that is not complete yet', (major) => {
    const bytes = altered(major, (view) => {
      view.setBigUint64(152, 0x28n, true);
      view.setBigUint64(160, 0x150n, true);
      view.setUint8(168, 1);
      view.setUint8(176, 1);
    });
    expect(parseControlFile(bytes)).toMatchObject({
      minRecoveryPoint: 0n,
      backupStartPoint: 0x28n,
      backupEndPoint: 0x150n,
      backupEndRequired: true,
      walLogHints: true,
      walLevel: 'replica',
    });
  });

  test('identifiers beyond 2^53 and LSNs beyond 2^63 keep every bit', () => {
    const bytes = altered(18, (view) => {
      view.setBigUint64(0, 2n ** 64n - 3n, true);
      view.setBigUint64(136, 2n ** 63n + 1n, true);
      view.setBigInt64(24, 2n ** 62n, true);
    });
    const control = parseControlFile(bytes);
    expect(control.systemIdentifier).toBe(2n ** 64n - 3n);
    expect(control.minRecoveryPoint).toBe(2n ** 63n + 1n);
    expect(Number.isNaN(control.updatedAt.getTime())).toBe(false);
  });
});
