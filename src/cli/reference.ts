import { loadCommands } from './command-line-description.ts';
import { longFlag, type Command } from './command.ts';
import { exitCodeMeanings } from './exit-codes.ts';
import { flagText, GLOBAL_OPTIONS } from './global-options.ts';
import { usageOf } from './program.ts';

/** `docs/reference/cli.md`. */
export async function renderCliReference(): Promise<string> {
  const commands = await loadCommands();
  const globals = Object.values(GLOBAL_OPTIONS).map(
    (option) => `- \`${flagText(option).replaceAll(/[<>]/g, '')}\`: ${option.help}`,
  );
  const codes = exitCodeMeanings().map(({ code, meaning }) => `| ${code} | ${meaning} |`);
  return `# Command line

<!-- Written by scripts/write-reference.ts from src/cli/commands/: change it there. -->

Results go to standard output, notes and progress to standard error. A progress bar is drawn on a terminal only; everywhere
else Walnut is quiet. With \`--json\`, standard output holds one JSON document (long-running commands: one JSON line per
event), and a failure is \`{ "error": { "code", "message", "hint", "cause" } }\`. Times are read in your zone and shown with it;
in JSON they are UTC. The first Ctrl-C or SIGTERM ends a command in good order, the second one kills it.

Every command takes:

${globals.join('\n')}

| exit code | meaning |
|---|---|
${codes.join('\n')}

${commands.map(renderCommand).join('\n')}`;
}

function renderCommand(command: Command): string {
  const facts = [...argumentLines(command), ...optionLines(command)];
  const examples = command.examples.map((example) => `# ${example.does}\n${example.command}`);
  return `## walnut ${command.name}

${capitalise(command.summary)}.

\`\`\`
walnut ${command.name} ${usageOf(command)}
\`\`\`

${command.description}
${facts.length === 0 ? '' : `\n${facts.join('\n')}\n`}
\`\`\`sh
${examples.join('\n')}
\`\`\`

Exit codes: ${command.exitCodes.join(', ')}.
`;
}

function argumentLines(command: Command): string[] {
  return Object.values(command.arguments).map(({ label, help, choices }) => {
    const listed = choices === undefined ? '' : ` (${choices.join(', ')})`;
    return `- \`${label}\`: ${help}${listed}`;
  });
}

function optionLines(command: Command): string[] {
  return Object.entries(command.options)
    .filter(([, { hidden = false }]) => !hidden)
    .map(([key, { label, help, repeatable }]) => {
      const value = label === null ? '' : ` ${label}`;
      return `- \`${longFlag(key)}${value}\`: ${help}${repeatable ? '; may be given several times' : ''}`;
    });
}

function capitalise(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
