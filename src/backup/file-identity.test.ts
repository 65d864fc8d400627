import { describe, expect, test } from 'vitest';
import { FileIdentifier, type FileStamp } from './file-identity.ts';

const STARTED_MS = 1_700_000_000_000;
const FILE: FileStamp = {
  device: 2049,
  inode: 1_234_567,
  sizeBytes: 8192,
  modifiedMs: STARTED_MS - 10_000,
  changedMs: STARTED_MS - 10_000,
};
const identifier = new FileIdentifier('/var/lib/postgresql/18/main', STARTED_MS);

describe('the identity of a file', () => {
  test('is the same for the same file, untouched, in a later backup', () => {
    const later = new FileIdentifier('/var/lib/postgresql/18/main', STARTED_MS + 3_600_000);
    expect(identifier.identify(FILE)).toHaveLength(16);
    expect(later.identify(FILE)).toEqual(identifier.identify(FILE));
  });

  test.each([
    ['another device', { device: 2050 }],
    ['another inode', { inode: 1_234_568 }],
    ['another size', { sizeBytes: 16_384 }],
    ['another time of its content', { modifiedMs: FILE.modifiedMs - 0.5 }],
    ['another time of its inode', { changedMs: FILE.changedMs - 0.5 }],
  ])('differs with %s', (_what, change) => {
    expect(identifier.identify({ ...FILE, ...change })).not.toEqual(identifier.identify(FILE));
  });

  test('differs in another data directory', () => {
    const other = new FileIdentifier('/var/lib/postgresql/18/copy', STARTED_MS);
    expect(other.identify(FILE)).not.toEqual(identifier.identify(FILE));
  });

  test.each(['modifiedMs', 'changedMs'] as const)(
    'is none for a file whose %s lies less than 3 s before the backup',
    (time) => {
      expect(identifier.identify({ ...FILE, [time]: STARTED_MS - 2999 })).toBeNull();
      expect(identifier.identify({ ...FILE, [time]: STARTED_MS - 3001 })).not.toBeNull();
    },
  );
});
