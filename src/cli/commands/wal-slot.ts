import type { WalSlotDocument } from '../../api/wal-contract.ts';
import type { SlotOutcome, SlotRequest } from '../../archive/manage-slot.ts';
import { defineCommand, optionalArgument, type Command, type CommandResult } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { connectionSettingsOf } from '../server-access.ts';
import { textOf } from '../wal-documents.ts';

const serverArgument = optionalArgument({
  label: 'SERVER',
  help: 'the server; may be left out when one is configured',
});

export const walSlotCreateCommand: Command = defineCommand({
  name: 'wal slot create',
  summary: 'create the replication slot',
  description:
    'A physical slot that keeps WAL on the server from now on until Walnut has it. wal receive makes it by itself; ' +
    'create it by hand when WAL is to be kept before the receiver first runs. A slot that exists is left as it is.',
  arguments: { server: serverArgument },
  options: {},
  examples: [{ command: 'walnut wal slot create shop', does: 'keep WAL from now on' }],
  exitCodes: [0, 1, 2, 130],
  run: async (values, context) => {
    const { createWalSlot } = await import('../../archive/manage-slot.ts');
    return runSlotCommand(createWalSlot, values.server, context);
  },
});

export const walSlotDropCommand: Command = defineCommand({
  name: 'wal slot drop',
  summary: 'drop the replication slot',
  description:
    'The server then keeps no WAL for Walnut: what was not received before it is removed is a gap. A slot that a ' +
    'receiver uses is not dropped.',
  arguments: { server: serverArgument },
  options: {},
  examples: [{ command: 'walnut wal slot drop shop', does: 'before giving a server up' }],
  exitCodes: [0, 1, 2, 130],
  run: async (values, context) => {
    const { dropWalSlot } = await import('../../archive/manage-slot.ts');
    return runSlotCommand(dropWalSlot, values.server, context);
  },
});

const OUTCOMES: Readonly<Record<SlotOutcome['outcome'], string>> = {
  created: 'was created',
  existed: 'existed already',
  dropped: 'was dropped',
  missing: 'did not exist',
};

async function runSlotCommand(
  act: (request: SlotRequest) => Promise<SlotOutcome>,
  name: string | undefined,
  context: CommandContext,
): Promise<CommandResult> {
  const server = await context.resolveServer(name);
  const { slot } = server;
  const connection = await connectionSettingsOf(server);
  const { outcome, restartLsn } = await act({ connection, slot, signal: context.signal });
  const document: WalSlotDocument = {
    server: server.name,
    slot,
    outcome,
    restartLsn: textOf(restartLsn),
  };
  return { document, text: `replication slot ${slot} ${OUTCOMES[outcome]}` };
}
