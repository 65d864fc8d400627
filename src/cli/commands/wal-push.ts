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
      if (ahead === undefined) return await pushWalFile(request);
      const others = await prepareOthers(request, {
        directory: ahead,
        configuration,
        jobs: server.jobs,
        context,
      });
      try {
        const pushed = await pushWalFile(request);
        // The file asked for is durable: what happens to the others is told and changes no exit code.
        await others?.push();
        return pushed;
      } finally {
        await others?.close();
      }
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
  readonly jobs: number;
  readonly context: CommandContext;
};

type OtherFiles = { readonly push: () => Promise<void>; readonly close: () => Promise<void> };

/** Null when nothing can be pushed ahead, which is told. */
async function prepareOthers(
  request: PushRequest,
  { directory, configuration, jobs, context }: Others,
): Promise<OtherFiles | null> {
  const { output, signal } = context;
  if (configuration === null) {
    output.note(
      'walnut: nothing is pushed ahead: --ahead needs --config and no WALNUT_SERVER_ or WALNUT_REPOSITORY_ variable',
    );
    return null;
  }
  const { prepareAhead } = await import('../../archive/push-ahead.ts');
  const clockMs = (): number => performance.now();
  const options = { directory, configuration, jobs, signal, clockMs };
  const prepared = await prepareAhead({ ...request, ...options });
  return {
    push: async () => {
      const { problem } = await prepared.push();
      if (problem === null) return;
      const { renderError } = await import('../render/error.ts');
      output.note(renderError(problem));
    },
    close: async () => prepared.close(),
  };
}
