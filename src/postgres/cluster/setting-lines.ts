import { WalnutError } from '../../lib/walnut-error.ts';

/** A line of a configuration file: the setting's name and its value, unquoted. */
export type Setting = { readonly name: string; readonly value: string };

const NAME = /^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*$/;

/**
 * Lines for postgresql.conf, `name = 'value'`. Of several lines with one name the server takes the last.
 * Source: src/backend/utils/misc/guc-file.l.
 * @throws WalnutError `usage` for a name that is none, or a value that no file can hold.
 */
export function formatSettings(settings: readonly Setting[]): string {
  return settings
    .map(({ name, value }) => `${requireName(name)} = ${quoteSetting(value)}\n`)
    .join('');
}

/** The value in quotes, with what would end it or be taken for an escape written as an escape. */
export function quoteSetting(value: string): string {
  if (value.includes('\0')) {
    throw new WalnutError('usage', 'write a setting: its value contains a NUL byte');
  }
  const escaped = value
    .replaceAll('\\', '\\\\')
    .replaceAll("'", "''")
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r');
  return `'${escaped}'`;
}

function requireName(name: string): string {
  if (NAME.test(name)) return name;
  throw new WalnutError(
    'usage',
    `write setting ${JSON.stringify(name)}: this is no setting's name`,
  );
}
