import type { Command } from './command.ts';

export type CommandEntry = {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
};

/** Words that only group commands. */
export const COMMAND_GROUPS: Readonly<Record<string, string>> = {
  wal: 'keep, serve and inspect the write-ahead log',
  'wal slot': 'the replication slot that keeps WAL until Walnut has it',
};

/**
 * Every command, in the order of help. The summary stands here and not in the command's file, because `walnut --help`
 * must not load twenty files to print twenty lines.
 */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'demo',
    summary: 'the whole story on an embedded PostgreSQL, in about a minute',
    load: async () => (await import('./commands/demo.ts')).demoCommand,
  },
  {
    name: 'init',
    summary: 'write the configuration, create repository and slot, say what the server needs',
    load: async () => (await import('./commands/init.ts')).initCommand,
  },
  {
    name: 'check',
    summary: 'test every precondition; each failure comes with its fix',
    load: async () => (await import('./commands/check.ts')).checkCommand,
  },
  {
    name: 'backup',
    summary: 'back a server up',
    load: async () => (await import('./commands/backup.ts')).backupCommand,
  },
  {
    name: 'list',
    summary: 'backups, their sizes, and the times a server can be restored to',
    load: async () => (await import('./commands/list.ts')).listCommand,
  },
  {
    name: 'show',
    summary: 'one backup in detail',
    load: async () => (await import('./commands/show.ts')).showCommand,
  },
  {
    name: 'restore',
    summary: 'bring a server back, to any moment, into a new folder',
    load: async () => (await import('./commands/restore.ts')).restoreCommand,
  },
  {
    name: 'verify',
    summary: 'read everything back from the repository and check it',
    load: async () => (await import('./commands/verify.ts')).verifyCommand,
  },
  {
    name: 'expire',
    summary: 'delete the backups and WAL that retention no longer keeps',
    load: async () => (await import('./commands/expire.ts')).expireCommand,
  },
  {
    name: 'delete',
    summary: 'delete backups by name',
    load: async () => (await import('./commands/delete.ts')).deleteCommand,
  },
  {
    name: 'keep',
    summary: 'keep a backup from retention, for ever or until a time',
    load: async () => (await import('./commands/keep.ts')).keepCommand,
  },
  {
    name: 'compact',
    summary: 'rewrite packs of which little is still needed, to win space',
    load: async () => (await import('./commands/compact.ts')).compactCommand,
  },
  {
    name: 'wal receive',
    summary: 'stream WAL from the server into the repository until stopped',
    load: async () => (await import('./commands/wal-receive.ts')).walReceiveCommand,
  },
  {
    name: 'wal push',
    summary: 'store one WAL file: for archive_command',
    load: async () => (await import('./commands/wal-push.ts')).walPushCommand,
  },
  {
    name: 'wal fetch',
    summary: 'bring one WAL file back: what restore_command runs',
    load: async () => (await import('./commands/wal-fetch.ts')).walFetchCommand,
  },
  {
    name: 'wal status',
    summary: 'what WAL is stored, what is missing, how far behind it is',
    load: async () => (await import('./commands/wal-status.ts')).walStatusCommand,
  },
  {
    name: 'wal switch',
    summary: 'finish the current WAL segment and wait until it is stored',
    load: async () => (await import('./commands/wal-switch.ts')).walSwitchCommand,
  },
  {
    name: 'wal slot create',
    summary: 'create the replication slot',
    load: async () => (await import('./commands/wal-slot.ts')).walSlotCreateCommand,
  },
  {
    name: 'wal slot drop',
    summary: 'drop the replication slot',
    load: async () => (await import('./commands/wal-slot.ts')).walSlotDropCommand,
  },
  {
    name: 'completion',
    summary: 'print the completion script of a shell',
    load: async () => (await import('./commands/completion.ts')).completionCommand,
  },
];
