import { WalnutError } from '../../lib/walnut-error.ts';

/** The value of a keyword that takes one of a few words, or null when it is not set. */
export function oneOf<Word extends string>(
  values: ReadonlyMap<string, string>,
  name: string,
  words: readonly Word[],
): Word | null {
  const value = values.get(name);
  if (value === undefined || value === '') return null;
  const word = words.find((known) => known === value);
  if (word === undefined) {
    throw new WalnutError('config', `read connection settings: invalid ${name} value "${value}"`, {
      hint: `Use one of: ${words.join(', ')}.`,
    });
  }
  return word;
}

/** The value of a keyword that takes an integer, or null when it is not set. */
export function wholeNumber(values: ReadonlyMap<string, string>, name: string): number | null {
  const value = values.get(name)?.trim();
  if (value === undefined || value === '') return null;
  if (!/^[+-]?\d{1,9}$/.test(value)) {
    throw new WalnutError('config', `read connection settings: invalid ${name} value "${value}"`, {
      hint: 'Use a whole number.',
    });
  }
  return Number(value);
}
