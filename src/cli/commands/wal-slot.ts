import { defineCommand, optionalArgument, type Command } from '../command.ts';
import { notBuilt } from './not-built.ts';

const server = optionalArgument({
  label: 'SERVER',
  help: 'the server; may be left out when one is configured',
});

export const walSlotCreateCommand: Command = defineCommand({
  name: 'wal slot create',
  summary: 'create the replication slot',
  description:
    'A physical slot that keeps WAL on the server from now on until Walnut has it. wal receive makes it by itself; ' +
    'create it by hand when WAL is to be kept before the receiver first runs. A slot that exists is left as it is.',
  arguments: { server },
  options: {},
  examples: [{ command: 'walnut wal slot create shop', does: 'keep WAL from now on' }],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('wal slot create');
  },
});

export const walSlotDropCommand: Command = defineCommand({
  name: 'wal slot drop',
  summary: 'drop the replication slot',
  description:
    'The server then keeps no WAL for Walnut: what was not received before it is removed is a gap. A slot that a ' +
    'receiver uses is not dropped.',
  arguments: { server },
  options: {},
  examples: [{ command: 'walnut wal slot drop shop', does: 'before giving a server up' }],
  exitCodes: [0, 1, 2, 130],
  run: async () => {
    throw notBuilt('wal slot drop');
  },
});
