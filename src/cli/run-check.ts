import { join } from 'node:path';
import type { CheckDocument } from '../api/contract.ts';
import type { Configuration, ServerConfiguration } from '../config/configuration.ts';
import { ERROR_CODES } from '../lib/walnut-error.ts';
import { checkServer } from '../preflight/check.ts';
import type { CheckRequest, ServerPlan } from '../preflight/check-types.ts';
import type { Finding } from '../preflight/finding.ts';
import { readDescriptor } from '../repository/repository.ts';
import { shellQuote } from '../restore/shell-quote.ts';
import { openStore } from '../storage/open-store.ts';
import type { CommandResult } from './command.ts';
import type { CommandContext } from './context.ts';
import { renderCheck } from './render/check.ts';
import { storeDescriptionOf } from './repository-access.ts';
import { connectionSettingsOf } from './server-access.ts';

/** A person waits: archive_command is called within a moment, or something is wrong. */
const PROOF_TIMEOUT_MS_MAX = 60_000;

export async function runCheck(
  servers: readonly ServerConfiguration[],
  context: CommandContext,
): Promise<CommandResult> {
  const configuration = await context.loadConfiguration();
  const checked: { server: string; findings: readonly Finding[] }[] = [];
  for (const server of servers) {
    const bar = context.output.startProgress(`checking ${server.name}`);
    try {
      const request = requestOf(server, configuration, context);
      checked.push({ server: server.name, findings: await checkServer(request, context.signal) });
    } finally {
      bar.stop();
    }
  }
  const document = documentOf(checked);
  return {
    document,
    text: renderCheck(document),
    exitCode: document.passed ? 0 : ERROR_CODES['check-failed'],
  };
}

export function serverPlanOf(
  server: ServerConfiguration,
  { configPath, packageRoot }: { readonly configPath: string | null; readonly packageRoot: string },
): ServerPlan {
  const program = shellQuote(join(packageRoot, 'bin', 'walnut'));
  const config = configPath === null ? '' : ` --config ${shellQuote(configPath)}`;
  // PostgreSQL puts names in place of %p and %f, and one percent sign in place of %%.
  const ahead = shellQuote(join(server.spoolDirectory, 'ahead'));
  const escape = (text: string): string => text.replaceAll('%', '%%');
  const push = escape(`${program}${config} wal push ${server.name}`);
  return {
    server: server.name,
    dataDirectory: server.dataDirectory,
    backupFrom: server.backupFrom,
    wal: server.wal,
    slot: server.slot,
    spoolDirectory: server.spoolDirectory,
    archiveCommand: configPath === null ? `${push} %p` : `${push} %p --ahead ${escape(ahead)}`,
  };
}

function requestOf(
  server: ServerConfiguration,
  { path, inactive }: Configuration,
  { packageRoot, now }: CommandContext,
): CheckRequest {
  return {
    ...serverPlanOf(server, { configPath: path, packageRoot }),
    readConnection: async () => connectionSettingsOf(server),
    openRepository: async () => {
      const store = await openStore(storeDescriptionOf(server.repository));
      await readDescriptor(store);
      return store;
    },
    inactiveKeys: inactive.filter(
      ({ key }) => !key.startsWith('server.') || key.startsWith(`server.${server.name}.`),
    ),
    proofTimeoutMs: Math.min(server.walTimeoutMs, PROOF_TIMEOUT_MS_MAX),
    now,
  };
}

function documentOf(
  checked: readonly { readonly server: string; readonly findings: readonly Finding[] }[],
): CheckDocument {
  const servers = checked.map(({ server, findings }) => ({
    server,
    passed: findings.every(({ passed }) => passed),
    checks: findings.map(({ name, passed, detail, fix }) => ({ name, passed, detail, fix })),
  }));
  return { passed: servers.every(({ passed }) => passed), servers };
}
