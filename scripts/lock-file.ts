/** The parts of `package-lock.json` (lockfileVersion 3, npm's package-lock-json page) that its check reads. */
export type LockRow = {
  readonly version?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};

export type LockFile = { readonly packages: Record<string, LockRow> };

export type MissingRow = {
  readonly location: string;
  readonly version: string;
  readonly dev: boolean;
};

/** Optional dependencies that no row answers; for one of them `npm ci` refuses the whole file. */
export function missingRows({ packages }: LockFile): MissingRow[] {
  return Object.entries(packages).flatMap(([from, row]) =>
    Object.entries(row.optionalDependencies ?? {})
      .filter(([name]) => !lookupLocations(from, name).some((location) => location in packages))
      .map(([name, version]) => ({
        location: `node_modules/${name}`,
        version,
        dev: row.dev === true,
      })),
  );
}

/** Where Node looks for a package: nested in the dependent, then in every folder above. */
function lookupLocations(from: string, name: string): string[] {
  const above = from.split('/node_modules/').map((_, index, parts) => {
    const folder = parts.slice(0, parts.length - index).join('/node_modules/');
    return folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
  });
  return [...above, `node_modules/${name}`];
}
