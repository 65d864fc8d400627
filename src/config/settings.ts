import { nearest } from './nearest.ts';
import { environmentName, type OptionDeclaration, type OptionTable } from './options.ts';
import { configurationError, type ConfigurationFile, type Origin } from './source.ts';

/** One key as the user wrote it, not yet validated. */
export type Setting = { readonly value: unknown; readonly origin: Origin };

/** The settings of one repository or server, by dotted key. */
export type Settings = ReadonlyMap<string, Setting>;

export type SectionOptions = {
  readonly kind: 'server' | 'repository' | 'daemon';
  readonly keys: readonly string[];
};

type AnyTable = Readonly<Record<string, OptionDeclaration<unknown>>>;

/** Flattens the table at `path` into dotted keys; an unknown key is an error that names the nearest known one. */
export function readSection(
  file: ConfigurationFile,
  path: readonly string[],
  options: SectionOptions,
): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  const visit = (value: unknown, keys: readonly string[]): void => {
    const key = keys.join('.');
    const origin: Origin = { kind: 'file', file, path: [...path, ...keys] };
    if (options.keys.includes(key)) {
      settings.set(key, { value, origin });
      return;
    }
    const isTable = key === '' || options.keys.some((known) => known.startsWith(`${key}.`));
    if (!isTable) throw unknownKey(origin, key, options);
    if (!isRecord(value)) throw configurationError(origin, `"${key}" must be a table`);
    for (const [part, inner] of Object.entries(value)) visit(inner, [...keys, part]);
  };
  visit(valueAt(file.values, path), []);
  return settings;
}

/** The environment's settings for one repository or server; they win over the file's. */
export function readEnvironmentSection(
  environment: NodeJS.ProcessEnv,
  section: {
    readonly kind: 'server' | 'repository';
    readonly name: string;
    readonly table: AnyTable;
  },
): Map<string, Setting> {
  const settings = new Map<string, Setting>();
  for (const [key, { form }] of Object.entries(section.table)) {
    const variable = environmentName(section.kind, section.name, key);
    const text = environment[variable];
    if (text === undefined || text === '') continue;
    const value = form === 'integer' && /^\d+$/.test(text) ? Number(text) : text;
    settings.set(key, { value, origin: { kind: 'environment', variable } });
  }
  return settings;
}

export type Validated<T> = {
  readonly values: T;
  /** Where the keys that the user wrote were written. */
  readonly origins: ReadonlyMap<string, Origin>;
};

/** Validates a section by its table; `section` and `origin` are for the message about a missing key. */
export function validateSection<T>(
  table: OptionTable<T>,
  settings: Settings,
  section: { readonly title: string; readonly origin: Origin },
): Validated<T> {
  const values: Record<string, unknown> = {};
  const origins = new Map<string, Origin>();
  for (const [key, declaration] of Object.entries<OptionDeclaration<unknown>>(table)) {
    const setting = settings.get(key);
    if (setting === undefined && declaration.required === true) {
      throw configurationError(
        section.origin,
        `${section.title} has no key "${key}"`,
        declaration.help,
      );
    }
    if (setting !== undefined) origins.set(key, setting.origin);
    values[key] = validateValue(key, declaration, setting);
  }
  return { values: values as T, origins };
}

function validateValue(
  key: string,
  declaration: OptionDeclaration<unknown>,
  setting: Setting | undefined,
): unknown {
  const { schema, secret = false, environmentOnly } = declaration;
  if (setting === undefined) return schema.parse(declaration.default ?? undefined);
  if (environmentOnly !== undefined && setting.origin.kind === 'file') {
    throw configurationError(
      setting.origin,
      `"${key}" is taken from the environment only`,
      `In the file, ${environmentOnly}.`,
    );
  }
  const result = schema.safeParse(setting.value);
  if (result.success) return result.data;
  const reason = result.error.issues[0]?.message ?? 'is not valid';
  const shown = secret ? '' : ` = ${JSON.stringify(setting.value)}`;
  throw configurationError(
    setting.origin,
    `"${key}"${shown}: ${lowerFirst(reason)}`,
    `Expected: ${declaration.value.replaceAll('`', '')}. ${declaration.help}`,
  );
}

function unknownKey(origin: Origin, key: string, options: SectionOptions): Error {
  if (options.kind === 'repository' && key === 'encryption') {
    return configurationError(
      origin,
      'encryption is not built yet, so this key is refused rather than ignored',
      'Leave it out, and keep the repository on an encrypted disk until a release has it.',
    );
  }
  const known = options.keys.flatMap((each) => [each, each.split('.')[0] ?? each]);
  const similar = nearest(key, new Set(known));
  const hint =
    similar === null ? `Known keys: ${options.keys.join(', ')}.` : `Did you mean ${similar}?`;
  return configurationError(origin, `unknown key "${key}" for a ${options.kind}`, hint);
}

function valueAt(values: unknown, path: readonly string[]): unknown {
  let value = values;
  for (const part of path) value = isRecord(value) ? value[part] : undefined;
  return value;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
