import { WalnutError } from '../lib/walnut-error.ts';

/** The PostgreSQL major versions that Walnut supports and tests. */
export const SUPPORTED_MAJORS = [13, 14, 15, 16, 17, 18] as const;

export type MajorVersion = (typeof SUPPORTED_MAJORS)[number];

/** The major version of a `server_version_num` such as 180004; refuses unsupported ones by name. */
export function majorVersionOf(serverVersionNum: number): MajorVersion {
  return toMajorVersion(Math.floor(serverVersionNum / 10_000));
}

export function toMajorVersion(major: number): MajorVersion {
  const known = SUPPORTED_MAJORS.find((supported) => supported === major);
  if (known === undefined) {
    throw new WalnutError(
      'unsupported',
      `use PostgreSQL ${major}: Walnut supports versions 13 to 18`,
      {
        hint: 'Use another release of Walnut, or upgrade the server.',
      },
    );
  }
  return known;
}
