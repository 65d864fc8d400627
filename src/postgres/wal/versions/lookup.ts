import type { MajorVersion } from '../../version.ts';
import { WAL_VERSION_13 } from './wal-version-13.ts';
import { WAL_VERSION_14 } from './wal-version-14.ts';
import { WAL_VERSION_15 } from './wal-version-15.ts';
import { WAL_VERSION_16 } from './wal-version-16.ts';
import { WAL_VERSION_17 } from './wal-version-17.ts';
import { WAL_VERSION_18 } from './wal-version-18.ts';
import type { WalVersion } from './wal-version.ts';

const WAL_VERSIONS: Readonly<Record<MajorVersion, WalVersion>> = {
  13: WAL_VERSION_13,
  14: WAL_VERSION_14,
  15: WAL_VERSION_15,
  16: WAL_VERSION_16,
  17: WAL_VERSION_17,
  18: WAL_VERSION_18,
};

const BY_MAGIC = new Map(
  Object.values(WAL_VERSIONS).map((version) => [version.pageMagic, version]),
);

export function walVersionOf(major: MajorVersion): WalVersion {
  return WAL_VERSIONS[major];
}

/** The version whose pages begin with `magic`; `undefined` for WAL that this release cannot read. */
export function walVersionOfMagic(magic: number): WalVersion | undefined {
  return BY_MAGIC.get(magic);
}
