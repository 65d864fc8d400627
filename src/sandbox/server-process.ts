import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { sleep } from '../lib/sleep.ts';
import { WalnutError } from '../lib/walnut-error.ts';
import { onProcessEnd } from './process-end.ts';
import { serverEnvironment } from './run-program.ts';
import { spawnIdentity, type SystemUser } from './unprivileged-user.ts';

export type ServerExit = {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
};

export type ServerProcessOptions = {
  /** The `postgres` program. */
  readonly program: string;
  readonly args: readonly string[];
  readonly user: SystemUser;
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Open for appending; takes standard output and error. */
  readonly logDescriptor: number;
};

/** How long the end of this process may be held up by a server that is told to stop at once. */
const LAST_STOP_MS = 3000;
const LAST_STOP_POLL_MS = 10;

/** On a busy machine a killed process needs its time to give back what it holds. */
const KILL_LIMIT_MS = 30_000;
const KILL_POLL_MS = 10;

/**
 * A running postmaster. It never outlives this process: a cleanup stops it when the process ends in order or by a
 * signal, and a watchdog, a shell that waits for the closing of its standard input, when the process is killed.
 */
export class ServerProcess {
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  readonly #forget: () => void;

  private constructor(child: ChildProcess, pid: number, user: SystemUser) {
    this.#child = child;
    this.pid = pid;
    this.#forget = onProcessEnd(() => stopNow(pid));
    const dismissWatchdog = startWatchdog(pid, user);
    this.exited = once(child, 'exit').then(([exitCode, signal]) => {
      this.#forget();
      dismissWatchdog();
      return { exitCode, signal };
    });
  }

  /** Starts `postgres` in a process group of its own, so that Ctrl-C on the terminal reaches only us. */
  static async spawn(options: ServerProcessOptions): Promise<ServerProcess> {
    const child = spawn(options.program, options.args, {
      ...spawnIdentity(options.user),
      cwd: options.folder,
      env: { ...serverEnvironment(options.folder), ...options.env },
      detached: true,
      stdio: ['ignore', options.logDescriptor, options.logDescriptor],
    });
    if (child.pid === undefined) {
      const [error] = (await once(child, 'error')) as [Error];
      throw error;
    }
    child.unref();
    return new ServerProcess(child, child.pid, options.user);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal);
  }

  /**
   * Kills the postmaster and all of its processes with SIGKILL, as a crash of the machine would. Resolves when its
   * children are gone, and `exited` then tells its own end: a start before that is refused, because the shared memory is
   * still in use (`PGSharedMemoryIsInUse` in src/backend/port/sysv_shmem.c). Throws `timeout` when a child stays.
   */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const end = Date.now() + KILL_LIMIT_MS;
    sendSignal(this.pid, 'SIGSTOP');
    let left: number[];
    for (;;) {
      // Asked before the listing: until it has stopped it may start one more.
      const isLastListing = startsNoMore(this.pid);
      left = killChildren(this.pid);
      if ((isLastListing && left.length === 0) || Date.now() > end) break;
      await sleep(KILL_POLL_MS);
    }
    sendSignal(this.pid, 'SIGKILL');
    if (left.length > 0) {
      throw new WalnutError(
        'timeout',
        `kill the processes of PostgreSQL: ${left.join(', ')} did not end within ${KILL_LIMIT_MS} ms`,
      );
    }
  }
}

/** SIGQUIT lets the postmaster free its shared memory; what does not obey in time is killed. */
function stopNow(pid: number): void {
  sendSignal(pid, 'SIGQUIT');
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; waitedMs < LAST_STOP_MS; waitedMs += LAST_STOP_POLL_MS) {
    if (!isAlive(pid)) return;
    Atomics.wait(pause, 0, 0, LAST_STOP_POLL_MS);
  }
  sendSignal(pid, 'SIGSTOP');
  killChildren(pid);
  sendSignal(pid, 'SIGKILL');
}

/**
 * Kills the living children of a postmaster and answers them; it has got a SIGSTOP, so that it starts no others. Every
 * backend makes a session of its own (`InitPostmasterChild` in src/backend/utils/init/miscinit.c), so the process group
 * does not hold them.
 */
function killChildren(pid: number): number[] {
  const children = childrenOf(pid).filter(isAlive);
  for (const child of children) sendSignal(child, 'SIGKILL');
  return children;
}

/** Runs as the server's user, so that it could not signal anything else even if the process id were used again. */
function startWatchdog(pid: number, user: SystemUser): () => void {
  const script = `read answer || kill -QUIT ${pid}`;
  const watchdog = spawn('/bin/sh', ['-c', script], {
    ...spawnIdentity(user),
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watchdog.on('error', () => {});
  watchdog.stdin.on('error', () => {});
  watchdog.unref();
  return () => watchdog.stdin.end('stopped\n');
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself in the meantime.
  }
}

/** Fields of /proc/PID/stat after the name in parentheses: state, parent process id, … (manual page proc(5)). */
function statFields(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  const [state] = statFields(pid);
  return state !== undefined && state !== 'Z';
}

/** True once the process has stopped, or ended. */
function startsNoMore(pid: number): boolean {
  const [state] = statFields(pid);
  return state === 'T' || !isAlive(pid);
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => statFields(candidate)[1] === String(pid));
}
