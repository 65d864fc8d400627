/** Looks at raw arguments before a parser exists: which command's file to load, and how to print an early error. */

export type EarlyArguments = {
  /** The longest known command name at the front, or null. */
  readonly command: string | null;
  readonly json: boolean;
};

const TAKES_VALUE = new Set(['--config']);
const TAKES_NONE = new Set(['--json', '--help', '-h', '--version', '-V']);

export function readEarly(words: readonly string[], names: readonly string[]): EarlyArguments {
  const typed = leadingWords(words);
  const candidates = names.filter((name) =>
    name.split(' ').every((word, index) => word === typed[index]),
  );
  const command = candidates.toSorted((a, b) => b.length - a.length)[0] ?? null;
  const end = words.indexOf('--');
  return { command, json: (end === -1 ? words : words.slice(0, end)).includes('--json') };
}

/** `help wal fetch` means `wal fetch --help`. */
export function withoutHelpWord(words: readonly string[]): readonly string[] {
  const [first] = leadingWords(words);
  if (first !== 'help') return words;
  const at = words.indexOf('help');
  return [...words.slice(0, at), ...words.slice(at + 1), '--help'];
}

function leadingWords(words: readonly string[]): string[] {
  const positional: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (TAKES_VALUE.has(word)) index += 1;
    else if (!word.startsWith('-')) positional.push(word);
    else if (!TAKES_NONE.has(word) && !word.startsWith('--config=')) break;
  }
  return positional;
}
