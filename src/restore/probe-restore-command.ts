import { execFile } from 'node:child_process';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WalnutError } from '../lib/walnut-error.ts';
import { systemCodeOf } from './file-failure.ts';
import type { RestorePlan } from './plan.ts';
import { shellQuote } from './shell-quote.ts';

const PROBE_TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX: number = 1024 * 1024;
const TOLD_LINES_MAX = 4;
/** What a server started by hand surely has; NODE_OPTIONS and the like of this process must not help. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const run = promisify(execFile);

/** What a probe needs to know of a restore. */
type Probed = Pick<RestorePlan, 'restoreCommand' | 'wal' | 'owner'>;

/**
 * A probe under way, while the rest of the plan is made. Disposing waits for its end: what is killed in the middle would
 * leave its segment behind.
 */
export class RestoreCommandProof implements AsyncDisposable {
  readonly #probe: Promise<void>;

  constructor(probed: Probed, signal: AbortSignal) {
    this.#probe = probeRestoreCommand(probed, signal);
    // A failure is met where the proof is waited for; what the plan refuses comes first.
    this.#probe.catch(() => undefined);
  }

  /** @throws WalnutError as {@link probeRestoreCommand} */
  async done(): Promise<void> {
    await this.#probe;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#probe.catch(() => undefined);
  }
}

/**
 * Proves, before anything is written, that the account which will run the server can get WAL: it runs the restore_command
 * as that account for the first segment that recovery needs.
 * @throws WalnutError `permission` with what the command said.
 */
async function probeRestoreCommand(plan: Probed, signal: AbortSignal): Promise<void> {
  const { restoreCommand, wal, owner } = plan;
  if (restoreCommand === null || wal.firstSegment === null) return;
  const folder = await mkdtemp(join(tmpdir(), 'walnut-probe-'));
  try {
    if (owner !== null) await chown(folder, owner.uid, owner.gid);
    const words = [...restoreCommand, wal.firstSegment, join(folder, 'segment')];
    await runAs(owner, words, { folder, signal });
  } catch (error) {
    signal.throwIfAborted();
    throw notProven(plan, error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runAs(
  owner: RestorePlan['owner'],
  words: readonly string[],
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<void> {
  const options = {
    signal,
    cwd: folder,
    env: { PATH },
    timeout: PROBE_TIMEOUT_MS,
    maxBuffer: OUTPUT_BYTES_MAX,
  };
  const [program = '', ...rest] = words;
  if (owner === null) {
    await run(program, rest, options);
    return;
  }
  // With the account's further groups: a repository may be readable by one of them only.
  const groups = /^\d+$/.test(owner.name) ? '--clear-groups' : '--init-groups';
  const identity = ['--reuid', String(owner.uid), '--regid', String(owner.gid), groups];
  try {
    await run('setpriv', [...identity, '--', ...words], options);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    await run(program, rest, { ...options, uid: owner.uid, gid: owner.gid });
  }
}

function notProven(plan: Probed, error: unknown): WalnutError {
  const { stderr = '' } = error as { stderr?: string };
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const said = lines.slice(-TOLD_LINES_MAX).join('; ');
  const account = plan.owner === null ? 'this user' : `user ${plan.owner.name}`;
  const command = (plan.restoreCommand ?? []).map(shellQuote).join(' ');
  const reason = said === '' ? (error instanceof Error ? error.message : String(error)) : said;
  return new WalnutError(
    'permission',
    `try restore_command as ${account}: it cannot bring segment ${plan.wal.firstSegment}: ${reason}`,
    {
      hint:
        `That account has to run ${shellQuote(plan.restoreCommand?.[0] ?? '')} and to read the configuration and the repository. ` +
        'Give it access (for the repository: chgrp to a group of that account, chmod -R g+rX), or restore with --wal copy, ' +
        `which needs no access later. The command was: ${command}`,
      cause: error,
    },
  );
}
