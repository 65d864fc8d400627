import { join } from 'node:path';
import { parseRate } from '../../config/quantities.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { PlanSources, RestoreDecision } from '../../restore/plan.ts';
import type { RestorePhase } from '../../restore/progress.ts';
import type { RestoreResult } from '../../restore/restore.ts';
import {
  choice,
  defineCommand,
  flag,
  option,
  optionalArgument,
  repeatable,
  type Command,
} from '../command.ts';
import type { CommandContext } from '../context.ts';
import { renderRestored, renderRestorePlan } from '../render/restore.ts';
import { restoreDocumentOf, restorePlanDocumentOf } from '../restore-documents.ts';
import { targetChoice } from '../restore-options.ts';
import { restoreRequest } from '../restore-request.ts';
import { withRepository } from '../repository-access.ts';
import {
  parseBackupId,
  parseJobs,
  parseLsnOption,
  parseMapping,
  parsePath,
  parseRestorePoint,
  parseSetting,
  parseTimelineChoice,
  parseXid,
} from '../values.ts';

export const restoreCommand: Command = defineCommand({
  name: 'restore',
  summary: 'bring a server back, to any moment, into a new folder',
  description:
    'Makes a plan first (which backup, which WAL, how much) and refuses what could not end well: a time before the first ' +
    'backup, WAL that does not reach the target, a folder with content, too little space. Then it writes the files, ' +
    'checked and fsynced, and the recovery settings; pg_ctl start does the rest. Without a target the server is brought ' +
    'to the latest moment and promoted; with one it pauses there, readable, until you promote it.\n\n' +
    'With --delta the folder may be the data directory of the stopped server itself, or what an interrupted restore left. ' +
    'Its files are compared with the backup by hash, only pages that differ are read and written, and what is not in the ' +
    'backup is deleted by name, the old WAL among it. Until the last step no server starts there.\n\n' +
    'A time without an offset is taken in your zone.',
  arguments: {
    server: optionalArgument({
      label: 'SERVER',
      help: 'the server; may be left out when one is configured',
    }),
  },
  options: {
    target: option({ label: 'DIR', help: 'the new data directory (required)', parse: parsePath }),
    backup: option({
      label: 'ID',
      help: 'the backup to begin with (default: the newest good one before the target, of the present cluster; one from before an upgrade has to be named)',
      parse: parseBackupId,
    }),
    toTime: option({
      label: 'T',
      help: 'to this time: 2026-11-22 19:15:00, with +01:00 or Z for another zone, or "today 14:00"',
    }),
    toLsn: option({ label: 'L', help: 'to this position in the WAL', parse: parseLsnOption }),
    toXid: option({ label: 'X', help: 'to the end of this transaction', parse: parseXid }),
    toName: option({
      label: 'N',
      help: 'to this restore point (pg_create_restore_point)',
      parse: parseRestorePoint,
    }),
    toImmediate: flag('to the end of the backup: no later change'),
    exclusive: flag('stop just before the target instead of just after'),
    timeline: option({
      label: 'T',
      help: 'along this timeline: latest, current or a number (default: latest)',
      parse: parseTimelineChoice,
    }),
    action: choice(
      ['pause', 'promote', 'shutdown'],
      'at the target (default: pause with a target, promote without)',
    ),
    tablespace: repeatable({
      label: 'NAME=DIR',
      help: 'put a tablespace (name or oid) into DIR',
      parse: parseMapping,
    }),
    link: repeatable({
      label: 'NAME=DIR',
      help: 'put what another symbolic link led to into DIR',
      parse: parseMapping,
    }),
    walDirectory: option({
      label: 'DIR',
      help: 'make pg_wal a link to DIR',
      parse: parsePath,
    }),
    wal: choice(
      ['fetch', 'copy'],
      'fetch WAL by restore_command while it recovers, or copy it into pg_wal now (default: fetch)',
    ),
    standby: flag('come up as a standby that keeps following the archive'),
    archiveMode: choice(
      ['off', 'preserve'],
      "the restored server's archive_mode (default: off, so that it never writes into the old one's archive)",
    ),
    set: repeatable({
      label: 'NAME=VALUE',
      help: 'a further setting of the restored server',
      parse: parseSetting,
    }),
    owner: option({
      label: 'USER',
      help: "as root: whose the files will be (default: the owner of DIR's parent; with --delta, of DIR)",
    }),
    jobs: option({
      label: 'N',
      help: 'workers (default: jobs of the configuration, 2)',
      parse: parseJobs,
    }),
    rate: option({ label: 'LIMIT', help: 'write at most LIMIT, such as 50MB/s', parse: parseRate }),
    delta: flag(
      "into the stopped server's own directory: keep what is right, compared by hash; write what differs; delete the rest",
    ),
    dryRun: flag('print the plan and change nothing'),
  },
  examples: [
    { command: 'walnut restore shop --target /srv/restored', does: 'to the latest moment' },
    {
      command: 'walnut restore shop --target /srv/restored --to-time "2026-11-22 19:15:00"',
      does: 'to just before a mistake',
    },
    {
      command: 'walnut restore shop --target /srv/restored --to-name before_migration --dry-run',
      does: 'see the plan first',
    },
    {
      command: 'walnut restore shop --target /var/lib/postgresql/18/main --delta --dry-run',
      does: 'see what would be kept, written and deleted in place',
    },
  ],
  exitCodes: [0, 1, 2, 130],
  validate: ({ target, standby, action, ...values }) => {
    if (target === undefined) {
      throw new WalnutError('usage', 'option --target: it is required', {
        hint: 'Name an empty or missing folder: --target /srv/restored.',
      });
    }
    const { kind } = targetChoice(values, new Date());
    if (standby && (kind !== 'latest' || action !== undefined)) {
      throw new WalnutError('usage', 'option --standby: a standby has no target and no action');
    }
  },
  run: async (values, context) => {
    const server = await context.resolveServer(values.server);
    const { path: configPath } = await context.loadConfiguration();
    const { planRestore, decideRestore } = await import('../../restore/plan.ts');
    const { withReader } = await import('../../catalog/readers.ts');
    const { listBackupIds } = await import('../../repository/repository.ts');
    const request = restoreRequest(values, server, context.now());
    const shimPath = join(context.packageRoot, 'bin', 'walnut-restore-command');
    const program = { shimPath, configPath };
    return await withRepository(server.repository, async (store) => {
      const sources = { store, now: context.now(), program };
      if (values.dryRun) {
        const plan = await planRestore(sources, request);
        return { document: restorePlanDocumentOf(plan), text: renderRestorePlan(plan) };
      }
      const backups = await listBackupIds(store, server.name);
      const reading = { server: server.name, backups, command: 'restore' };
      const result = await withReader(store, reading, async (registration) => {
        const decision = await decideRestore(sources, request);
        await registration.narrow([decision.backup.id]);
        return runRestore(decision, sources, context);
      });
      return { document: restoreDocumentOf(result), text: renderRestored(result) };
    });
  },
});

async function runRestore(
  decision: RestoreDecision,
  sources: PlanSources,
  { output, signal }: CommandContext,
): Promise<RestoreResult> {
  const { RestoreCommandProof } = await import('../../restore/probe-restore-command.ts');
  const { completePlan } = await import('../../restore/plan.ts');
  const { restore, startWorkers } = await import('../../restore/restore.ts');
  // Both go on while the plan is made; the proof, which takes longest, begins first.
  await using proof = new RestoreCommandProof(decision, signal);
  await using workers = startWorkers(sources, decision);
  const plan = await completePlan(sources, decision);
  const bar = output.startProgress('restoring');
  try {
    return await restore(plan, {
      store: sources.store,
      workers,
      signal,
      prove: async () => proof.done(),
      progress: {
        phaseBegan: (phase) => bar.relabel(PHASE_LABELS[phase]),
        placed: (done, total) => bar.update(done, total),
      },
    });
  } finally {
    bar.stop();
  }
}

const PHASE_LABELS: Readonly<Record<RestorePhase, string>> = {
  prove: 'trying restore_command',
  prepare: 'preparing folders',
  delete: 'deleting what does not belong',
  place: 'restoring',
  settle: 'checking and syncing',
  wal: 'laying WAL',
  configure: 'writing recovery settings',
  finish: 'finishing',
};
