import { Command as Commander, CommanderError, Option } from 'commander';
import { messageOf, WalnutError } from '../lib/walnut-error.ts';
import { COMMAND_GROUPS, type CommandEntry } from './command-table.ts';
import {
  longFlag,
  type Command,
  type Example,
  type OptionDeclaration,
  type ParsedValues,
} from './command.ts';
import { exitCodeMeanings } from './exit-codes.ts';
import { flagText, GLOBAL_OPTIONS } from './global-options.ts';

/** What the arguments ask for. */
export type Request =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'run';
      readonly command: Command;
      readonly values: ParsedValues;
      readonly configPath: string | undefined;
    };

export type ProgramOptions = {
  readonly version: string;
  readonly entries: readonly CommandEntry[];
  /** The command that the arguments name, loaded; the others are shown by name and summary only. */
  readonly command: Command | null;
  readonly columns: number;
};

type RawCall = { readonly words: readonly unknown[]; readonly options: Record<string, unknown> };

/** Parses arguments (without program and script); throws WalnutError `usage`. */
export function parseArguments(words: readonly string[], options: ProgramOptions): Request {
  const written: string[] = [];
  const call: { made: RawCall | null } = { made: null };
  const program = buildProgram(options, (made) => {
    call.made = made;
  });
  program.configureOutput({
    writeOut: (text) => void written.push(text),
    writeErr: (text) => void written.push(text),
    outputError: () => {},
    getOutHelpWidth: () => options.columns,
    getErrHelpWidth: () => options.columns,
  });
  for (const each of allCommands(program)) each.configureOutput(program.configureOutput());
  try {
    program.parse([...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'text', text: written.join('').trimEnd() };
    throw usageError(error, written.join('').trimEnd());
  }
  const { command } = options;
  if (call.made === null || command === null) {
    throw new WalnutError('usage', `run "${words.join(' ')}": no such command`, {
      hint: HELP_HINT,
    });
  }
  const values = parseValues(command, call.made);
  command.validate(values);
  const configPath = program.opts<{ config?: string }>().config;
  return { kind: 'run', command, values, configPath };
}

/** Help of an option is wrapped down to this width; below it lines run on. */
const HELP_WRAP_MIN = 30;
const HELP_HINT = 'walnut --help lists the commands, walnut COMMAND --help the options of one.';

function buildProgram(options: ProgramOptions, record: (call: RawCall) => void): Commander {
  const program = new Commander('walnut');
  program
    .description('PostgreSQL backup and recovery that proves it works.')
    .usage('COMMAND [ARGUMENTS] [OPTIONS]')
    .version(options.version, flagText(GLOBAL_OPTIONS.version), GLOBAL_OPTIONS.version.help)
    .option(flagText(GLOBAL_OPTIONS.config), GLOBAL_OPTIONS.config.help)
    .option(flagText(GLOBAL_OPTIONS.json), GLOBAL_OPTIONS.json.help)
    .helpOption(flagText(GLOBAL_OPTIONS.help), GLOBAL_OPTIONS.help.help)
    .helpCommand('help [COMMAND]', 'print the help of a command')
    .configureHelp({
      showGlobalOptions: true,
      minWidthToWrap: HELP_WRAP_MIN,
      subcommandTerm: (command) => command.name(),
    })
    .exitOverride()
    .addHelpText('after', `\n${exitCodesText()}`);
  const groups = new Map<string, Commander>();
  for (const entry of options.entries) {
    const parent = groupOf(program, groups, entry.name.split(' ').slice(0, -1));
    const commander = parent.command(entry.name.split(' ').at(-1) ?? '').summary(entry.summary);
    if (entry.name === options.command?.name) declare(commander, options.command, record);
    else commander.allowUnknownOption().allowExcessArguments();
  }
  return program;
}

function groupOf(
  program: Commander,
  groups: Map<string, Commander>,
  words: readonly string[],
): Commander {
  if (words.length === 0) return program;
  const name = words.join(' ');
  const known = groups.get(name);
  if (known !== undefined) return known;
  const parent = groupOf(program, groups, words.slice(0, -1));
  const summary = COMMAND_GROUPS[name] ?? '';
  const group = parent
    .command(words.at(-1) ?? '')
    .summary(summary)
    .description(capitalise(summary));
  group.usage('COMMAND [ARGUMENTS] [OPTIONS]').helpCommand(false);
  groups.set(name, group);
  return group;
}

function declare(commander: Commander, command: Command, record: (call: RawCall) => void): void {
  commander.usage(usageOf(command));
  commander.description(`${capitalise(command.summary)}.\n\n${command.description}`);
  for (const { label, help, required, choices, variadic } of Object.values(command.arguments)) {
    const described = choices === undefined ? help : `${help} (${choices.join(', ')})`;
    const name = variadic === true ? `${label}...` : label;
    commander.argument(required ? `<${name}>` : `[${name}]`, described);
  }
  for (const [key, declaration] of Object.entries(command.options)) {
    commander.addOption(toCommanderOption(key, declaration));
  }
  commander.addHelpText(
    'after',
    `\n${examplesText(command.examples)}\n${exitCodesText(command.exitCodes)}`,
  );
  commander.action(() => record({ words: commander.processedArgs, options: commander.opts() }));
}

/** `SERVER NAME DEST [OPTIONS]`. */
export function usageOf(command: Command): string {
  const words = Object.values(command.arguments).map(({ label, required, variadic }) => {
    const name = variadic === true ? `${label}...` : label;
    return required ? name : `[${name}]`;
  });
  return [...words, '[OPTIONS]'].join(' ');
}

function toCommanderOption(key: string, declaration: OptionDeclaration<unknown>): Option {
  const { label, help, repeatable, hidden = false } = declaration;
  const flags = label === null ? longFlag(key) : `${longFlag(key)} <${label}>`;
  const option = new Option(flags, help).hideHelp(hidden);
  if (repeatable) {
    option.argParser((text: string, before: unknown) => [
      ...(Array.isArray(before) ? before : []),
      text,
    ]);
  }
  return option;
}

function parseValues(command: Command, call: RawCall): ParsedValues {
  const values: Record<string, unknown> = {};
  for (const [index, [key, { label, parse }]] of Object.entries(command.arguments).entries()) {
    const text = call.words[index];
    if (Array.isArray(text)) {
      values[key] = text.flatMap((word: string) => parseText(word, parse, label));
    } else {
      values[key] = typeof text === 'string' ? parseText(text, parse, label) : undefined;
    }
  }
  for (const [key, { parse, absent, repeatable }] of Object.entries(command.options)) {
    const given = call.options[key];
    const name = `option ${longFlag(key)}`;
    if (given === undefined) values[key] = absent;
    else if (given === true) values[key] = true;
    else if (!repeatable) values[key] = parseText(given as string, parse, name);
    else values[key] = (given as string[]).map((text) => parseText(text, parse, name));
  }
  return values;
}

function parseText(text: string, parse: (text: string) => unknown, name: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof WalnutError) throw error;
    throw new WalnutError('usage', `${name}: ${messageOf(error)}`);
  }
}

function usageError(error: CommanderError, written: string): WalnutError {
  if (error.code === 'commander.help') {
    return new WalnutError('usage', 'run walnut: a command is missing', {
      hint: HELP_HINT,
      details: { help: written },
    });
  }
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const hint = suggestion?.replace(/^\((.*)\)$/, '$1') ?? HELP_HINT;
  return new WalnutError('usage', message, { hint });
}

function* allCommands(commander: Commander): Generator<Commander> {
  yield commander;
  for (const child of commander.commands) yield* allCommands(child);
}

function examplesText(examples: readonly Example[]): string {
  const lines = examples.map(({ command, does }) => `  # ${does}\n  ${command}`);
  return `Examples:\n${lines.join('\n')}\n`;
}

function exitCodesText(codes?: readonly number[]): string {
  const lines = exitCodeMeanings(codes).map(
    ({ code, meaning }) => `  ${String(code).padEnd(4)}${meaning}`,
  );
  return `Exit codes:\n${lines.join('\n')}`;
}

function capitalise(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
