/**
 * Completes `package-lock.json` with the rows of other platforms' optional packages. `npm install` leaves a package out that
 * its registry does not have, such as a mirror without the platforms nobody there uses, and `npm ci` then refuses the
 * whole lock file, everywhere. Run it after an `npm install` that changed dependencies: `node scripts/complete-lock.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { missingRows, type LockFile, type LockRow } from './lock-file.ts';

const path = fileURLToPath(new URL('../package-lock.json', import.meta.url));
const lock = JSON.parse(readFileSync(path, 'utf8')) as LockFile;

for (const { location, version, dev } of missingRows(lock)) {
  lock.packages[location] = makeRow(location, version, dev);
}
const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
writeFileSync(
  path,
  `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`,
);

/** Without an integrity, which only the package itself could tell; npm skips the row wherever the platform is another. */
function makeRow(location: string, version: string, dev: boolean): LockRow {
  const [, os, cpu, abi = ''] =
    /\b(android|darwin|freebsd|linux|openharmony|win32)-([a-z0-9]+)(?:-([a-z]+))?$/.exec(
      location,
    ) ?? [];
  if (os === undefined || cpu === undefined) {
    throw new Error(
      `complete package-lock.json: ${location} names no platform; add its row by hand`,
    );
  }
  const libc = /^(gnu|musl)/.exec(abi)?.[1]?.replace('gnu', 'glibc');
  return {
    version,
    cpu: [cpu],
    ...(dev ? { dev } : {}),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    os: [os],
  };
}
