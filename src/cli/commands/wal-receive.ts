import { defineCommand, optionalArgument, type Command } from '../command.ts';
import { receiveEventOf } from '../receive-events.ts';
import { receiverOptionsOf } from '../receiver-options.ts';
import { renderReceiveEvent } from '../render/events.ts';
import { withRepository } from '../repository-access.ts';
import { connectionSettingsOf } from '../server-access.ts';

export const walReceiveCommand: Command = defineCommand({
  name: 'wal receive',
  summary: 'stream WAL from the server into the repository until stopped',
  description:
    'Creates the replication slot when it is missing, follows timeline switches, reconnects by itself, and reports as ' +
    'flushed only what is durable. SIGTERM and Ctrl-C end it cleanly with exit code 0. With --json it prints one JSON line per event.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {},
  examples: [{ command: 'walnut wal receive shop', does: 'until stopped, such as by systemd' }],
  exitCodes: [0, 1, 2, 130],
  run: async ({ server: name }, context) => {
    const server = await context.resolveServer(name);
    const { WalReceiver } = await import('../../archive/receiver.ts');
    const { findIncarnation } = await import('../../archive/incarnation.ts');
    await withRepository(server.repository, async (store) => {
      const connection = await connectionSettingsOf(server);
      const incarnation = await findIncarnation(store, server.name);
      const surroundings = { server, store, connection, incarnation };
      const receiver = new WalReceiver({
        ...receiverOptionsOf(surroundings, `walnut wal receive ${server.name}`),
        onEvent: (event) => {
          const document = receiveEventOf(server.name, event, context.now());
          context.output.event(document, renderReceiveEvent(document));
        },
      });
      await receiver.run(context.signal);
    });
    return {};
  },
});
