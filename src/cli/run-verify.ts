import type { VerifyDocument } from '../api/contract.ts';
import type { ServerConfiguration } from '../config/configuration.ts';
import { ERROR_CODES } from '../lib/walnut-error.ts';
import { verify } from '../maintenance/verify.ts';
import type { VerifyPhase, VerifyProgress, VerifyReport } from '../maintenance/verify-types.ts';
import type { BackupId } from '../repository/backup-id.ts';
import { openStore } from '../storage/open-store.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './context.ts';
import type { Output } from './render/output.ts';
import { renderVerifyReport } from './render/verify.ts';
import { storeDescriptionOf } from './repository-access.ts';

export type VerifyValues = {
  readonly backup: BackupId | undefined;
  readonly sample: number | undefined;
  readonly jobs: number | undefined;
};

/** Names shown on the way; all of them are in the repository for anyone to list. */
const UNEXPECTED_SHOWN = 20;
/** Told as soon as they are found; the report at the end has the rest. */
const DAMAGED_SHOWN = 20;

export async function runVerify(
  servers: readonly ServerConfiguration[],
  values: VerifyValues,
  context: CommandContext,
): Promise<CommandResult> {
  const startedMs = performance.now();
  const reports: VerifyReport[] = [];
  const progress = showVerifyProgress(context.output);
  try {
    for (const group of byRepository(servers)) {
      reports.push(await verifyRepository(group, values, { context, progress }));
    }
  } finally {
    context.output.stopProgress();
  }
  const report = merged(reports);
  noteUnexpected(report.unexpected, context.output);
  const { checkedObjects, checkedBytes, damaged } = report;
  const document: VerifyDocument = { checkedObjects, checkedBytes, damaged };
  const durationMs = performance.now() - startedMs;
  return {
    document,
    text: renderVerifyReport(report, { durationMs, samplePercent: values.sample ?? null }),
    exitCode: damaged.length > 0 ? ERROR_CODES['damage-found'] : 0,
  };
}

type Surroundings = { readonly context: CommandContext; readonly progress: VerifyProgress };

async function verifyRepository(
  servers: readonly [ServerConfiguration, ...ServerConfiguration[]],
  { backup, sample, jobs }: VerifyValues,
  { context, progress }: Surroundings,
): Promise<VerifyReport> {
  const [first] = servers;
  // A damaged descriptor is something to report here, so the repository is not opened the usual way.
  const store = await openStore(storeDescriptionOf(first.repository));
  try {
    const options = {
      store,
      servers: servers.map(({ name }) => name),
      backup: backup ?? null,
      samplePercent: sample ?? null,
      now: context.now(),
      jobs: jobs ?? first.jobs,
    };
    return await verify(options, progress, context.signal);
  } finally {
    await store.close();
  }
}

function byRepository(
  servers: readonly ServerConfiguration[],
): [ServerConfiguration, ...ServerConfiguration[]][] {
  const groups = new Map<string, [ServerConfiguration, ...ServerConfiguration[]]>();
  for (const server of servers) {
    const group = groups.get(server.repository.path);
    if (group === undefined) groups.set(server.repository.path, [server]);
    else group.push(server);
  }
  return [...groups.values()];
}

const PHASES: Readonly<Record<VerifyPhase, string>> = {
  backups: 'reading manifests',
  packs: 'checking data',
  maps: 'checking file lists',
  wal: 'checking WAL',
};

function showVerifyProgress(output: Output): VerifyProgress {
  const bar = output.startProgress('verifying');
  let done = 0;
  let total = 0;
  let told = 0;
  return {
    planned: (bytes) => {
      total += bytes;
      bar.update(done, total);
    },
    phase: (server, phase) => bar.relabel(`${server}: ${PHASES[phase]}`),
    checked: (bytes) => {
      done += bytes;
      bar.update(done, total === 0 ? null : Math.max(done, total));
    },
    damageFound: (key, reason) => {
      told += 1;
      if (told <= DAMAGED_SHOWN) output.note(`damaged: ${key}: ${reason}`);
      if (told === DAMAGED_SHOWN) output.note('damaged: what more is found is in the report');
    },
  };
}

function merged(reports: readonly VerifyReport[]): VerifyReport {
  return {
    checkedObjects: reports.reduce((sum, report) => sum + report.checkedObjects, 0),
    checkedBytes: reports.reduce((sum, report) => sum + report.checkedBytes, 0),
    damaged: reports.flatMap(({ damaged }) => damaged),
    unexpected: reports.flatMap(({ unexpected }) => unexpected),
  };
}

function noteUnexpected(keys: readonly string[], output: Output): void {
  for (const key of keys.slice(0, UNEXPECTED_SHOWN)) {
    output.note(`unexpected: ${key}: not a name that this release knows; it was not read`);
  }
  if (keys.length > UNEXPECTED_SHOWN) {
    output.note(`unexpected: ${keys.length - UNEXPECTED_SHOWN} more`);
  }
}
