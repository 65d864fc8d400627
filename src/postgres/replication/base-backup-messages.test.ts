import { describe, expect, test } from 'vitest';
import { baseBackupCommand, parseArchiveMessage } from './base-backup-messages.ts';

const options = {
  label: "it's",
  fastCheckpoint: true,
  maxRateKb: 2048,
  verifyChecksums: false,
  manifestChecksums: 'CRC32C',
} as const;

describe('BASE_BACKUP', () => {
  test.each([13, 14] as const)('of version %i takes bare keywords', (major) => {
    expect(baseBackupCommand(options, major)).toBe(
      "BASE_BACKUP LABEL 'it''s' PROGRESS FAST NOWAIT MAX_RATE 2048 TABLESPACE_MAP NOVERIFY_CHECKSUMS " +
        "MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'",
    );
  });

  test.each([15, 18] as const)('of version %i takes a list', (major) => {
    expect(baseBackupCommand(options, major)).toBe(
      "BASE_BACKUP (LABEL 'it''s', PROGRESS, CHECKPOINT 'fast', WAIT false, MAX_RATE 2048, TABLESPACE_MAP, " +
        "VERIFY_CHECKSUMS false, MANIFEST 'yes', MANIFEST_CHECKSUMS 'CRC32C')",
    );
  });

  const archive = Buffer.from('n16396.tar\0/srv/space\0');
  const progress = Buffer.from('70000000000000ff00', 'hex');

  test('messages between the data are decoded', () => {
    expect(parseArchiveMessage(archive)).toEqual({
      kind: 'archive',
      name: '16396.tar',
      location: '/srv/space',
    });
    expect(parseArchiveMessage(Buffer.from('nbase.tar\0\0'))).toMatchObject({ location: '' });
    expect(parseArchiveMessage(progress)).toEqual({ kind: 'progress', bytesDone: 0xff00 });
    expect(parseArchiveMessage(Buffer.from('m'))).toEqual({ kind: 'manifest' });
  });

  test.each([
    ['an archive', archive],
    ['progress', progress],
  ])('%s is refused wherever it is cut, and when it is too long', (_, body) => {
    for (let length = 0; length < body.length; length += 1) {
      expect(() => parseArchiveMessage(body.subarray(0, length))).toThrow(
        /cut short|lacks the end/,
      );
    }
    expect(() => parseArchiveMessage(Buffer.concat([body, Buffer.from('x')]))).toThrow(/too long/);
  });

  test('an unknown message is refused', () => {
    expect(() => parseArchiveMessage(Buffer.from('z'))).toThrow(/unknown BASE_BACKUP message "z"/);
  });
});
