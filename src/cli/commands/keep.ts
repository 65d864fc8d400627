import type { KeepDocument } from '../../api/retention-contract.ts';
import { contractTime } from '../../api/contract-fields.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { postgresTimeToDate } from '../../postgres/wal/postgres-time.ts';
import { argument, defineCommand, flag, option, type Command } from '../command.ts';
import { parseTime } from '../parse-time.ts';
import { renderTime } from '../render/units.ts';
import { withRepository } from '../repository-access.ts';
import { parseBackupId } from '../values.ts';

export const keepCommand: Command = defineCommand({
  name: 'keep',
  summary: 'keep a backup from retention, for ever or until a time',
  description:
    'A kept backup stays whatever the retention keys say, with the WAL from its start to its end, so that it can always ' +
    'be restored as it was. `list` and `show` tell. Works also while a backup runs.',
  arguments: {
    server: argument({ label: 'SERVER', help: 'the server' }),
    backup: argument({ label: 'BACKUP', help: 'the id that list shows', parse: parseBackupId }),
  },
  options: {
    until: option({ label: 'TIME', help: 'until this time: 2027-11-22, or 2027-11-22 19:15:00' }),
    forever: flag('for ever (the default)'),
    release: flag('no longer'),
  },
  examples: [
    { command: 'walnut keep shop 20261122T191500Z-F', does: 'before a risky migration' },
    {
      command: 'walnut keep shop 20261122T191500Z-F --until 2027-11-22',
      does: 'for the auditors, for a year',
    },
    { command: 'walnut keep shop 20261122T191500Z-F --release', does: 'let retention have it' },
  ],
  exitCodes: [0, 1, 2, 130],
  validate: ({ until, forever, release }) => {
    if ([until !== undefined, forever, release].filter(Boolean).length > 1) {
      throw new WalnutError('usage', 'options --until, --forever and --release exclude each other');
    }
  },
  run: async ({ server: name, backup, until: text, release }, context) => {
    const until = text === undefined ? null : parseUntil(text, context.now());
    const server = await context.resolveServer(name);
    const { keepBackup } = await import('../../maintenance/keep.ts');
    const mark = release ? null : { until };
    await withRepository(server.repository, async (store) =>
      keepBackup({ store, server: server.name, backup, mark }),
    );
    const document: KeepDocument = {
      server: server.name,
      backup,
      kept: !release,
      until: until === null ? null : contractTime(until),
    };
    const howLong = until === null ? 'for ever' : `until ${renderTime(until)}`;
    return {
      document,
      text: release ? `${backup} is no longer kept.` : `${backup} is kept ${howLong}.`,
    };
  },
});

/** A time in the future; a date alone means its first moment. */
function parseUntil(text: string, now: Date): Date {
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text.trim());
  let until: Date;
  try {
    until = postgresTimeToDate(parseTime(isDate ? `${text.trim()} 00:00:00` : text, { now }));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new WalnutError('usage', `option --until: ${error.message}`, { cause: error });
  }
  if (until > now) return until;
  throw new WalnutError('usage', `option --until: ${renderTime(until)} has passed`);
}
