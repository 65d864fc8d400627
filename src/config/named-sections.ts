import { WalnutError } from '../lib/walnut-error.ts';
import { nearest } from './nearest.ts';
import { environmentName, REPOSITORY_OPTIONS, SERVER_OPTIONS } from './options.ts';
import { isRecord, readEnvironmentSection, readSection, type Setting } from './settings.ts';
import { configurationError, type ConfigurationFile, type Origin } from './source.ts';

export type NamedSection = {
  readonly name: string;
  readonly settings: ReadonlyMap<string, Setting>;
  readonly origin: Origin;
};

type Kind = 'server' | 'repository';

export type Sources = {
  readonly file: ConfigurationFile | null;
  readonly environment: NodeJS.ProcessEnv;
};

const TABLES = { server: SERVER_OPTIONS, repository: REPOSITORY_OPTIONS };
const TOP_LEVEL = ['repository', 'server', 'daemon'];
const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** Folders of the repository's own beside those of the servers. */
const RESERVED_NAMES = new Set(['keys', 'tmp']);

/** Every `[kind.NAME]` of the file and the environment, the environment's keys laid over the file's. */
export function namedSections(kind: Kind, { file, environment }: Sources): NamedSection[] {
  const sections = new Map<string, NamedSection>();
  if (file !== null) refuseUnknownTables(file);
  for (const name of file === null ? [] : namesInFile(file, kind)) {
    const origin: Origin = { kind: 'file', file: file as ConfigurationFile, path: [kind, name] };
    checkName(kind, name, origin);
    const keys = Object.keys(TABLES[kind]);
    const settings = readSection(file as ConfigurationFile, [kind, name], { kind, keys });
    sections.set(name, { name, settings, origin });
  }
  for (const name of namesInEnvironment(kind, environment, [...sections.keys()])) {
    const table = TABLES[kind];
    const overlay = readEnvironmentSection(environment, { kind, name, table });
    const [first] = overlay.values();
    const known = sections.get(name);
    if (first === undefined) continue;
    const origin = known?.origin ?? first.origin;
    checkName(kind, name, origin);
    const settings = new Map([...(known?.settings ?? []), ...overlay]);
    sections.set(name, { name, settings, origin });
  }
  return [...sections.values()];
}

/** Refuses `WALNUT_SERVER_…` and `WALNUT_REPOSITORY_…` variables that mean nothing: a typing error must not be silent. */
export function refuseUnknownVariables(
  environment: NodeJS.ProcessEnv,
  names: Readonly<Record<Kind, readonly string[]>>,
): void {
  const known = new Set(
    (['server', 'repository'] as const).flatMap((kind) =>
      names[kind].flatMap((name) =>
        Object.keys(TABLES[kind]).map((key) => environmentName(kind, name, key)),
      ),
    ),
  );
  for (const variable of Object.keys(environment)) {
    if (!/^WALNUT_(?:SERVER|REPOSITORY)_/.test(variable) || known.has(variable)) continue;
    const similar = nearest(variable, known);
    throw new WalnutError('config', `read environment variable ${variable}: it names no key`, {
      hint:
        similar === null
          ? 'Variables are WALNUT_SERVER_NAME_KEY and WALNUT_REPOSITORY_NAME_KEY.'
          : `Did you mean ${similar}?`,
      details: { variable },
    });
  }
}

function refuseUnknownTables(file: ConfigurationFile): void {
  for (const key of Object.keys(file.values)) {
    if (TOP_LEVEL.includes(key)) continue;
    const similar = nearest(key, TOP_LEVEL);
    throw configurationError(
      { kind: 'file', file, path: [key] },
      `unknown key "${key}"`,
      similar === null
        ? 'At the top there are [repository.NAME], [server.NAME] and [daemon].'
        : `Did you mean ${similar}?`,
    );
  }
}

function namesInFile(file: ConfigurationFile, kind: Kind): string[] {
  const tables = file.values[kind];
  if (tables === undefined) return [];
  if (!isRecord(tables)) {
    const origin: Origin = { kind: 'file', file, path: [kind] };
    throw configurationError(origin, `"${kind}" must be a table`, `Write [${kind}.NAME].`);
  }
  for (const [name, value] of Object.entries(tables)) {
    if (isRecord(value)) continue;
    const origin: Origin = { kind: 'file', file, path: [kind, name] };
    throw configurationError(
      origin,
      `"${name}" stands in [${kind}] itself, which holds only named tables`,
      `Write the name of the ${kind} into the header: [${kind}.NAME].`,
    );
  }
  return Object.keys(tables);
}

/** Names known from the file that have variables, and new ones that a variable with the table's first key brings. */
function namesInEnvironment(
  kind: Kind,
  environment: NodeJS.ProcessEnv,
  known: readonly string[],
): string[] {
  const defining = kind === 'server' ? 'CONNECTION' : 'URL';
  const pattern = new RegExp(`^WALNUT_${kind.toUpperCase()}_(.+)_${defining}$`);
  const inFile = new Set(known.map((name) => environmentName(kind, name, '')));
  const brought = Object.keys(environment).flatMap((variable) => {
    const name = pattern.exec(variable)?.[1]?.toLowerCase();
    return name === undefined || inFile.has(environmentName(kind, name, '')) ? [] : [name];
  });
  return [...known, ...brought];
}

function checkName(kind: Kind, name: string, origin: Origin): void {
  if (!NAME.test(name)) {
    throw configurationError(
      origin,
      `${kind} name ${JSON.stringify(name)} is not valid`,
      'Names have a-z, 0-9, _ and -, begin with a letter or digit, and are at most 63 long.',
    );
  }
  if (kind === 'server' && RESERVED_NAMES.has(name)) {
    throw configurationError(
      origin,
      `server name "${name}" is reserved`,
      'The repository has a folder of that name for itself; choose another one.',
    );
  }
}
