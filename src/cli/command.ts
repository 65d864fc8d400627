/**
 * How a command is declared: once, as data. The declaration becomes the parser (`program.ts`), `--help`, the shell
 * completion and `docs/reference/cli.md`. A command's file imports its engine inside `run`, so that `--help` stays fast.
 */
import type { CommandContext } from './context.ts';

export type ArgumentDeclaration<T> = {
  /** As usage shows it: `SERVER`. */
  readonly label: string;
  readonly help: string;
  readonly required: boolean;
  /** Throws SyntaxError, RangeError or WalnutError for a text it does not accept. */
  readonly parse: (text: string) => T;
  readonly choices?: readonly string[];
  /** Takes all words that are left: T is an array, and `parse` answers one of a single value. */
  readonly variadic?: true;
};

export type OptionDeclaration<T> = {
  /** As usage shows the value: `DIR`; null for a switch. */
  readonly label: string | null;
  readonly help: string;
  readonly parse: (text: string) => unknown;
  /** The value when the option is not given: undefined, false for switches, [] for repeatable ones. */
  readonly absent: T;
  readonly repeatable: boolean;
  readonly choices?: readonly string[];
  /** Declared for the programs that PostgreSQL runs; not shown in help. */
  readonly hidden?: boolean;
};

export type Example = { readonly command: string; readonly does: string };

/** What a command hands back; `main.ts` prints one of the two forms. */
export type CommandResult = {
  /** The `--json` document of `src/api/contract.ts`; undefined when events were printed on the way. */
  readonly document?: unknown;
  /** For people; without it nothing is printed. */
  readonly text?: string;
  /** 0 unless given: 3 when a check failed, 4 when damage is reported. */
  readonly exitCode?: number;
};

// A declaration is used with its own value types inside `run` and without them everywhere else.
export type Declarations<D> = Readonly<Record<string, D>>;
type Parsed<D> = D extends ArgumentDeclaration<infer T> | OptionDeclaration<infer T> ? T : never;
type Values<D> = { readonly [K in keyof D]: Parsed<D[K]> };

export type CommandDefinition<
  A extends Declarations<ArgumentDeclaration<unknown>>,
  O extends Declarations<OptionDeclaration<unknown>>,
> = {
  /** Words as typed: `backup`, `wal slot create`. */
  readonly name: string;
  readonly summary: string;
  /** Further paragraphs for help and reference. */
  readonly description: string;
  /** In the order of the command line. */
  readonly arguments: A;
  /** Keys in camelCase; `toTime` is typed `--to-time`. */
  readonly options: O;
  readonly examples: readonly Example[];
  readonly exitCodes: readonly number[];
  /** For options that exclude or need each other; throws WalnutError `usage`. Called before `run`. */
  readonly validate?: (values: Values<A> & Values<O>) => void;
  readonly run: (values: Values<A> & Values<O>, context: CommandContext) => Promise<CommandResult>;
};

export type ParsedValues = Readonly<Record<string, unknown>>;

/** A command as the rest of the command line sees it. */
export type Command = {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly arguments: Declarations<ArgumentDeclaration<unknown>>;
  readonly options: Declarations<OptionDeclaration<unknown>>;
  readonly examples: readonly Example[];
  readonly exitCodes: readonly number[];
  readonly validate: (values: ParsedValues) => void;
  readonly run: (values: ParsedValues, context: CommandContext) => Promise<CommandResult>;
};

export function defineCommand<
  A extends Declarations<ArgumentDeclaration<unknown>>,
  O extends Declarations<OptionDeclaration<unknown>>,
>(definition: CommandDefinition<A, O>): Command {
  return {
    ...definition,
    validate: (values) => definition.validate?.(values as Values<A> & Values<O>),
    run: (values, context) => definition.run(values as Values<A> & Values<O>, context),
  };
}

type ArgumentText = { readonly label: string; readonly help: string };

export function argument(text: ArgumentText): ArgumentDeclaration<string>;
export function argument<T>(
  text: ArgumentText & { parse: (text: string) => T; choices?: readonly string[] },
): ArgumentDeclaration<T>;
export function argument(
  text: ArgumentText & { parse?: (text: string) => unknown; choices?: readonly string[] },
): ArgumentDeclaration<unknown> {
  return { parse: (value) => value, ...text, required: true };
}

/** An argument that may be left out; it is undefined then. */
export function optionalArgument(text: ArgumentText): ArgumentDeclaration<string | undefined> {
  return { ...text, parse: (value) => value, required: false };
}

/** The last argument, given as often as wanted and at least once. */
export function variadicArgument<T>(
  text: ArgumentText & { parse: (text: string) => T },
): ArgumentDeclaration<readonly T[]> {
  const { label, help, parse } = text;
  return { label, help, parse: (word) => [parse(word)], required: true, variadic: true };
}

type OptionText = { readonly label: string; readonly help: string; readonly hidden?: boolean };

/** `--name`: true when given. */
export function flag(help: string): OptionDeclaration<boolean> {
  return { label: null, help, parse: () => true, absent: false, repeatable: false };
}

/** `--name VALUE`; undefined when not given. */
export function option(text: OptionText): OptionDeclaration<string | undefined>;
export function option<T>(
  text: OptionText & { parse: (text: string) => T },
): OptionDeclaration<T | undefined>;
export function option(
  text: OptionText & { parse?: (text: string) => unknown },
): OptionDeclaration<unknown> {
  return { parse: (value) => value, ...text, absent: undefined, repeatable: false };
}

/** `--name ONE|OTHER`. */
export function choice<const C extends string>(
  choices: readonly C[],
  help: string,
): OptionDeclaration<C | undefined> {
  return {
    label: choices.join('|'),
    help,
    choices,
    parse: (value) => parseChoice(choices, value),
    absent: undefined,
    repeatable: false,
  };
}

export function parseChoice<C extends string>(choices: readonly C[], text: string): C {
  const found = choices.find((known) => known === text);
  if (found === undefined) throw new SyntaxError(`"${text}" is not one of ${choices.join(', ')}`);
  return found;
}

/** `--name VALUE`, as often as wanted; in the order given. */
export function repeatable<T>(
  text: OptionText & { parse: (text: string) => T },
): OptionDeclaration<readonly T[]> {
  return { ...text, absent: [], repeatable: true };
}

/** `toTime` → `--to-time`. */
export function longFlag(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
