import type { WalServerStatus } from '../../api/wal-contract.ts';
import { renderWalStatus } from '../render/wal-status.ts';
import { withRepository } from '../repository-access.ts';
import { connectionSettingsOf } from '../server-access.ts';
import { walServerStatusOf } from '../wal-documents.ts';
import { defineCommand, optionalArgument, type Command } from '../command.ts';

export const walStatusCommand: Command = defineCommand({
  name: 'wal status',
  summary: 'what WAL is stored, what is missing, how far behind it is',
  description:
    'The stored ranges of each timeline, gaps, the lag in bytes and seconds, and the health of the slot. When the server ' +
    'cannot be asked, what the repository knows is shown and the reason with it.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'one server; without it, all that are configured',
    }),
  },
  options: {},
  examples: [{ command: 'walnut wal status shop', does: 'one server' }],
  exitCodes: [0, 1, 2, 130],
  run: async ({ server: name }, context) => {
    const { readWalStatus } = await import('../../archive/wal-status.ts');
    const { findIncarnation } = await import('../../archive/incarnation.ts');
    const servers: WalServerStatus[] = [];
    for (const server of await context.resolveServers(name)) {
      const connection = await connectionSettingsOf(server);
      const status = await withRepository(server.repository, async (store) => {
        const incarnation = await findIncarnation(store, server.name);
        const scope = { server: server.name, incarnation };
        const found = await readWalStatus({ store, scope, connection, slot: server.slot });
        const shown = walServerStatusOf(server.name, incarnation.systemIdentifier, found);
        // An archive needs no slot; one that is there all the same keeps WAL, which must not go unsaid.
        const isNoneNeeded = server.wal === 'archive' && shown.slot?.exists === false;
        return isNoneNeeded ? { ...shown, slot: null } : shown;
      });
      servers.push(status);
    }
    return { document: { servers }, text: renderWalStatus(servers) };
  },
});
