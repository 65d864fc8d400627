import { COMMAND_GROUPS, COMMANDS } from './command-table.ts';
import { longFlag, type Command } from './command.ts';

export type OptionDescription = {
  /** `--to-time`. */
  readonly flag: string;
  readonly label: string | null;
  readonly help: string;
  readonly choices: readonly string[];
};

export type WordDescription = {
  /** `wal slot`, without `walnut`; empty for the top. */
  readonly name: string;
  readonly summary: string;
  /** The next words. */
  readonly words: readonly { readonly word: string; readonly summary: string }[];
  readonly options: readonly OptionDescription[];
  /** Choices of the first argument, such as the shells of `completion`. */
  readonly choices: readonly string[];
};

/** The whole command line as data, for completion. */
export async function describeCommandLine(): Promise<readonly WordDescription[]> {
  const commands = await loadCommands();
  const groups = ['', ...Object.keys(COMMAND_GROUPS)].map((name) => ({
    name,
    summary: COMMAND_GROUPS[name] ?? '',
    words: nextWords(name),
    options: [],
    choices: [],
  }));
  return [...groups, ...commands.map(describeCommand)];
}

export async function loadCommands(): Promise<readonly Command[]> {
  return await Promise.all(COMMANDS.map(async ({ load }) => await load()));
}

function nextWords(group: string): WordDescription['words'] {
  const prefix = group === '' ? '' : `${group} `;
  const names = [
    ...COMMANDS.map(({ name, summary }) => ({ name, summary })),
    ...Object.entries(COMMAND_GROUPS).map(([name, summary]) => ({ name, summary })),
  ];
  return names
    .filter(({ name }) => name.startsWith(prefix) && !name.slice(prefix.length).includes(' '))
    .map(({ name, summary }) => ({ word: name.slice(prefix.length), summary }));
}

function describeCommand(command: Command): WordDescription {
  const options = Object.entries(command.options)
    .filter(([, { hidden = false }]) => !hidden)
    .map(([key, { label, help, choices = [] }]) => ({ flag: longFlag(key), label, help, choices }));
  const [first] = Object.values(command.arguments);
  const { name, summary } = command;
  return { name, summary, words: [], options, choices: first?.choices ?? [] };
}
