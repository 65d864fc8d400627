import type { WalPushDocument } from '../../api/wal-contract.ts';
import type { PushRequest } from '../../archive/push.ts';
import { argument, defineCommand, option, type Command } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { withRepository } from '../repository-access.ts';
import { parseIncarnation, parsePath } from '../values.ts';

export const walPushCommand: Command = defineCommand({
  name: 'wal push',
  summary: 'store one WAL file: for archive_command',
  description:
    'Exits 0 only when the file is durable in the repository. Pushing the same file again is fine; other content under ' +
    'the same name, or WAL of another cluster, is refused. PATH may be relative to the data directory, in which ' +
    'PostgreSQL runs the command.\n\n' +
    'With --ahead one start stores also the files that wait behind this one, and leaves a marker in DIR for each. When ' +
    'PostgreSQL asks for one of them, the marker answers in its place, once, if it is for this very file, and no program ' +
    'but a shell is started. For this the command line must be `walnut --config FILE wal push SERVER PATH --ahead DIR`, ' +
    'with `--incarnation ID` behind it if wanted, and no WALNUT_SERVER_ or WALNUT_REPOSITORY_ variable be set, and ' +
    'stat be that of GNU; else each file is pushed in its own turn. DIR belongs to the user of the server alone; what is ' +
    'in it may be lost at any time.',
  arguments: {
    server: argument({ label: 'SERVER', help: 'the server' }),
    path: argument({ label: 'PATH', help: 'the file; %p in archive_command' }),
  },
  options: {
    incarnation: option({
      label: 'ID',
      help: 'accept WAL of this cluster only: system identifier and major version, such as 7432109876543210987-18',
      parse: parseIncarnation,
    }),
    ahead: option({
      label: 'DIR',
      help: 'store also the files that wait behind this one; the folder of their markers',
      parse: parsePath,
    }),
  },
  examples: [
    {
      command:
        "archive_command = 'walnut --config /etc/walnut.toml wal push shop %p --ahead /var/spool/walnut'",
      does: 'in postgresql.conf',
    },
  ],
  exitCodes: [0, 1, 2],
  run: async ({ server: name, path, incarnation, ahead }, context) => {
    const { pushWalFile } = await import('../../archive/push.ts');
    const configuration = ahead === undefined ? null : await identifyConfiguration(context);
    const server = await context.resolveServer(name);
    const { file, outcome, bytes } = await withRepository(server.repository, async (store) => {
      const request = { store, server: server.name, path, level: server.level, incarnation };
      const pushed = await pushWalFile(request);
      if (ahead !== undefined) {
        await pushOthers(request, { directory: ahead, configuration, context });
      }
      return pushed;
    });
    const document: WalPushDocument = { server: server.name, file, outcome, bytes };
    return { document };
  },
});

/**
 * Taken before the configuration is read, so that a marker stands for what was read or for something older. Null when the
 * shim, which does not read configuration, could not tell whether it is the same.
 */
async function identifyConfiguration({
  configPath,
  environment,
}: CommandContext): Promise<string | null> {
  const isOverridden = Object.keys(environment).some((name) =>
    /^WALNUT_(?:SERVER|REPOSITORY)_/.test(name),
  );
  if (configPath === undefined || isOverridden) return null;
  const { readFileIdentity } = await import('../../archive/ahead-marker.ts');
  return await readFileIdentity(configPath).catch(() => null);
}

type Others = {
  readonly directory: string;
  readonly configuration: string | null;
  readonly context: CommandContext;
};

/** The file asked for is durable: what happens here is told and changes no exit code. */
async function pushOthers(
  request: PushRequest,
  { directory, configuration, context }: Others,
): Promise<void> {
  const { output, signal } = context;
  if (configuration === null) {
    output.note(
      'walnut: nothing is pushed ahead: --ahead needs --config and no WALNUT_SERVER_ or WALNUT_REPOSITORY_ variable',
    );
    return;
  }
  const [{ pushAhead }, { renderError }] = await Promise.all([
    import('../../archive/push-ahead.ts'),
    import('../render/error.ts'),
  ]);
  const clockMs = (): number => performance.now();
  const { problem } = await pushAhead({ ...request, directory, configuration, signal, clockMs });
  if (problem !== null) output.note(renderError(problem));
}
