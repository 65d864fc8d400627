import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inject } from 'vitest';
import { onProcessEnd } from '../../src/sandbox/process-end.ts';
import {
  isRoot,
  spawnIdentity,
  unprivilegedUser,
  type SystemUser,
} from '../../src/sandbox/unprivileged-user.ts';

export type WalnutResult = {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as one JSON document; throws with the whole output when it is not. */
  json(): unknown;
  /** Standard output as one JSON document a line. */
  jsonLines(): unknown[];
};

export type WalnutOptions = {
  /** Path of a walnut.toml. */
  readonly config?: string | undefined;
  /** Beside a minimal environment: nothing of ours but PATH and the time zone is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the servers' user, who owns the clusters. `self` is root when the tests run as root. */
  readonly asUser?: SystemUser | 'self';
  readonly input?: string | Uint8Array;
  /** The working folder; default that of the configuration. */
  readonly folder?: string;
  /** Then it is killed and the call fails. Default one minute. */
  readonly timeoutMs?: number;
  /** Another installation than the one staged for the run. */
  readonly installation?: string;
};

export type WaitForLineOptions = {
  readonly timeoutMs?: number;
  readonly stream?: 'stdout' | 'stderr' | 'both';
};

const TIMEOUT_MS = 60_000;

/** Runs `walnut` of the staged installation to its end; only a time-out throws. */
export async function runWalnut(
  args: readonly string[],
  options: WalnutOptions = {},
): Promise<WalnutResult> {
  const running = await spawnWalnut(args, options);
  const { timeoutMs = TIMEOUT_MS } = options;
  return await running.waitForExit(timeoutMs);
}

/** Starts `walnut` of the staged installation in a process group of its own. It ends with this process at the latest. */
export async function spawnWalnut(
  args: readonly string[],
  options: WalnutOptions = {},
): Promise<WalnutProcess> {
  const problem = options.installation === undefined ? inject('installationProblem') : '';
  if (problem !== '') throw new Error(problem);
  const installation = options.installation ?? inject('installation');
  const { asUser = await unprivilegedUser() } = options;
  const folder = options.folder ?? (options.config === undefined ? '/' : dirname(options.config));
  const child = spawn(join(installation, 'bin/walnut'), args, {
    ...(asUser === 'self' ? {} : spawnIdentity(asUser)),
    cwd: folder,
    env: {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: folder,
      ...(process.env['TZ'] === undefined ? {} : { TZ: process.env['TZ'] }),
      ...(options.config === undefined ? {} : { WALNUT_CONFIG: options.config }),
      ...options.env,
    },
    detached: true,
    stdio: 'pipe',
  });
  if (child.pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error];
    throw error;
  }
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  return new WalnutProcess(child, child.pid, args);
}

/** Writes a configuration file that the servers' user can read. */
export async function writeConfig(folder: string, toml: string): Promise<string> {
  const path = join(folder, 'walnut.toml');
  await writeFile(path, toml, { mode: 0o600 });
  const user = await unprivilegedUser();
  if (isRoot()) await chown(path, user.uid, user.gid);
  return path;
}

/** A running `walnut`. */
export class WalnutProcess {
  readonly pid: number;
  readonly exited: Promise<WalnutResult>;
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #onOutput = new Set<() => void>();

  constructor(child: ChildProcess, pid: number, args: readonly string[]) {
    this.#child = child;
    this.pid = pid;
    this.#command = `walnut ${args.join(' ')}`;
    const forget = onProcessEnd(() => this.signal('SIGKILL'));
    this.#collect('stdout');
    this.#collect('stderr');
    this.exited = once(child, 'close').then(([exitCode, signal]) => {
      forget();
      for (const notify of this.#onOutput) notify();
      return makeResult(this.#command, { exitCode, signal, ...this.#output() });
    });
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Sends a signal to the whole process group. */
  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It ended by itself in the meantime.
    }
  }

  /** The first line, past or future, that matches; fails when the process ends or the time is over before. */
  async waitForLine(pattern: RegExp | string, options: WaitForLineOptions = {}): Promise<string> {
    const { timeoutMs = TIMEOUT_MS, stream = 'both' } = options;
    const wanted = (line: string): boolean =>
      typeof pattern === 'string' ? line.includes(pattern) : pattern.test(line);
    const find = (): string | undefined => this.#lines(stream).find(wanted);
    return await new Promise((fulfil, reject) => {
      const settle = (act: () => void): void => {
        this.#onOutput.delete(check);
        clearTimeout(timer);
        act();
      };
      const check = (): void => {
        const line = find();
        if (line !== undefined) settle(() => fulfil(line));
        else if (!this.isRunning) settle(() => reject(this.#failure(`ended without ${pattern}`)));
      };
      const timer = setTimeout(
        () => settle(() => reject(this.#failure(`no line ${pattern} within ${timeoutMs} ms`))),
        timeoutMs,
      );
      this.#onOutput.add(check);
      check();
    });
  }

  async waitForExit(timeoutMs: number = TIMEOUT_MS): Promise<WalnutResult> {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.signal('SIGKILL');
    }, timeoutMs);
    try {
      const result = await this.exited;
      if (timedOut) throw this.#failure(`still running after ${timeoutMs} ms`);
      return result;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends the signal and waits for the end. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs?: number): Promise<WalnutResult> {
    this.signal(signal);
    return await this.waitForExit(timeoutMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isRunning) await this.stop('SIGKILL');
  }

  #collect(name: 'stdout' | 'stderr'): void {
    this.#child[name]?.setEncoding('utf8').on('data', (text: string) => {
      this[name] += text;
      for (const notify of this.#onOutput) notify();
    });
  }

  #output(): { stdout: string; stderr: string } {
    return { stdout: this.stdout, stderr: this.stderr };
  }

  #lines(stream: 'stdout' | 'stderr' | 'both'): string[] {
    const texts = stream === 'both' ? [this.stdout, this.stderr] : [this[stream]];
    // The part after the last line feed is not a whole line yet.
    return texts.flatMap((text) => text.split('\n').slice(0, this.isRunning ? -1 : undefined));
  }

  #failure(reason: string): Error {
    return new Error(`${this.#command}: ${reason}\n${this.stdout}${this.stderr}`);
  }
}

function makeResult(
  command: string,
  facts: Pick<WalnutResult, 'exitCode' | 'signal' | 'stdout' | 'stderr'>,
): WalnutResult {
  const parse = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new Error(`${command}: no JSON\n${facts.stdout}${facts.stderr}`, { cause });
    }
  };
  return {
    ...facts,
    json: () => parse(facts.stdout),
    jsonLines: () =>
      facts.stdout
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => parse(line)),
  };
}
