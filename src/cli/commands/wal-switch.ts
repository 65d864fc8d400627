import type { WalSwitchDocument } from '../../api/wal-contract.ts';
import { ERROR_CODES } from '../../lib/walnut-error.ts';
import { formatLsn } from '../../postgres/lsn.ts';
import { renderDuration } from '../render/units.ts';
import { withRepository } from '../repository-access.ts';
import { connectionSettingsOf } from '../server-access.ts';
import { defineCommand, optionalArgument, type Command } from '../command.ts';

export const walSwitchCommand: Command = defineCommand({
  name: 'wal switch',
  summary: 'finish the current WAL segment and wait until it is stored',
  description:
    'Calls pg_switch_wal() on the primary. Waits at most wal_timeout of the configuration.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {},
  examples: [{ command: 'walnut wal switch shop', does: 'before taking a host down' }],
  exitCodes: [0, 1, 2, 130],
  run: async ({ server: name }, context) => {
    const server = await context.resolveServer(name);
    const { switchSegment } = await import('../../archive/switch-segment.ts');
    const { findIncarnation } = await import('../../archive/incarnation.ts');
    const connection = await connectionSettingsOf(server);
    const { lsn, segment, stored } = await withRepository(server.repository, async (store) =>
      switchSegment({
        store,
        scope: { server: server.name, incarnation: await findIncarnation(store, server.name) },
        connection,
        timeoutMs: server.walTimeoutMs,
        signal: context.signal,
      }),
    );
    const document: WalSwitchDocument = {
      server: server.name,
      lsn: formatLsn(lsn),
      segment,
      stored,
    };
    const waited = renderDuration(server.walTimeoutMs);
    return {
      document,
      text: stored
        ? `${segment} is stored`
        : `${segment} is not stored after ${waited}: does anything receive the WAL? See walnut wal status ${server.name}.`,
      exitCode: stored ? 0 : ERROR_CODES.timeout,
    };
  },
});
