import { inspect } from 'node:util';
import type { WalnutError } from '../lib/walnut-error.ts';
import { readEarly, withoutHelpWord } from './arguments.ts';
import { COMMANDS } from './command-table.ts';
import type { CommandContext } from './context.ts';
import { parseArguments, type Request } from './program.ts';
import { errorDocumentOf, renderError, toReported } from './render/error.ts';
import type { Output } from './render/output.ts';
import { ConfigurationAccess } from './configuration-access.ts';

/** What the process gives the command line; tests give their own. */
export type Surroundings = {
  readonly signal: AbortSignal;
  readonly environment: NodeJS.ProcessEnv;
  readonly packageRoot: string;
  readonly version: string;
  readonly now: () => Date;
  readonly createOutput: (json: boolean) => Output;
};

/** Runs one command line and answers its exit code; every error is reported here, once. */
export async function runCommandLine(
  typed: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const words = withoutHelpWord(typed);
  const names = COMMANDS.map(({ name }) => name);
  const early = readEarly(words, names);
  const output = surroundings.createOutput(early.json);
  try {
    const entry = COMMANDS.find(({ name }) => name === early.command);
    const command = entry === undefined ? null : await entry.load();
    const { version } = surroundings;
    const { columns } = output;
    const request = parseArguments(words, { version, entries: COMMANDS, command, columns });
    if (request.kind === 'text') {
      output.print(request.text);
      return 0;
    }
    return await runRequest(request, { ...surroundings, output, json: early.json });
  } catch (error) {
    return reportError(error, { ...surroundings, output, json: early.json });
  }
}

type Running = Surroundings & { readonly output: Output; readonly json: boolean };

async function runRequest(
  request: Extract<Request, { kind: 'run' }>,
  running: Running,
): Promise<number> {
  const { signal, environment, packageRoot, now, output, json } = running;
  const { configPath } = request;
  const access = new ConfigurationAccess({ configPath, environment });
  const context: CommandContext = {
    signal,
    json,
    output,
    configPath,
    environment,
    now,
    packageRoot,
    loadConfiguration: async () => await access.load(),
    resolveServer: async (name) => await access.resolveServer(name),
    resolveServers: async (name) => await access.resolveServers(name),
  };
  const result = await request.command.run(request.values, context);
  if (json && result.document !== undefined) output.print(JSON.stringify(result.document));
  else if (!json && result.text !== undefined) output.print(result.text);
  return result.exitCode ?? 0;
}

function reportError(thrown: unknown, running: Running): number {
  const { output, json, signal, environment } = running;
  const error = toReported(thrown, signal);
  output.stopProgress();
  if (json) output.print(JSON.stringify(errorDocumentOf(error)));
  else output.note(helpOf(error) ?? renderError(error));
  if (environment['WALNUT_DEBUG'] === '1') output.note(inspect(thrown));
  return error.exitCode;
}

/** A command line without a command is answered by the list of commands. */
function helpOf(error: WalnutError): string | null {
  const { help } = error.details;
  return typeof help === 'string' ? help : null;
}
