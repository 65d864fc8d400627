/** Runs one program to its end and says what it took: time, CPU of all its processes and threads, peak memory. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { onProcessEnd } from '../src/sandbox/process-end.ts';
import { tail } from '../src/sandbox/run-program.ts';
import { spawnIdentity, type SystemUser } from '../src/sandbox/unprivileged-user.ts';
import {
  readProcessTree,
  serverCpuSeconds,
  strayTicks,
  sumPssBytes,
  ticksToSeconds,
} from './process-tree.ts';

/** Often enough for a peak that lasts, seldom enough not to compete for the cores that are measured. */
const SAMPLE_MS = 50;

/**
 * `times` of the shell is the kernel's sum over all descendants that were waited for (POSIX, `times`; getrusage(2)), and
 * so is its `rchar` (proc_pid_io(5)).
 */
const SHELL = '"$@" 3>&-; code=$?; times >&3; cat /proc/$$/io >&3; exit $code';

export type Measurement = {
  readonly seconds: number;
  /** User and system time of the program with all its processes and threads. */
  readonly cpuSeconds: number;
  /** What the server's processes spent meanwhile: sending, archiving. */
  readonly serverCpuSeconds: number;
  /** Largest sum of the proportional set sizes (shared pages counted once) of the program's processes. */
  readonly peakBytes: number;
  /** Bytes asked of files and sockets by all processes, page cache or not; null where it was not looked at. */
  readonly readBytes: number | null;
};

export type MeasuredCommand = {
  readonly command: readonly string[];
  readonly user: SystemUser;
  readonly folder: string;
  /** Where caches may lie: kept from run to run, as a user's is. */
  readonly home: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly serverPid: number;
  /** For what never ends by itself: resolves when it is to be interrupted, which counts along. */
  readonly done?: () => Promise<void>;
};

export async function measure(measured: MeasuredCommand): Promise<Measurement> {
  const serverBefore = serverCpuSeconds(measured.serverPid);
  const startedMs = performance.now();
  const child = spawn('/bin/sh', ['-c', SHELL, 'sh', ...measured.command], {
    ...spawnIdentity(measured.user),
    cwd: measured.folder,
    env: {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: measured.home,
      LC_ALL: 'C.UTF-8',
      ...measured.env,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const forget = onProcessEnd(() => void child.kill('SIGKILL'));
  let peakBytes = 0;
  const sampler = setInterval(() => {
    const tree = child.pid === undefined ? [] : readProcessTree(child.pid);
    peakBytes = Math.max(peakBytes, sumPssBytes(tree));
  }, SAMPLE_MS);
  try {
    const outputs = [1, 2, 3].map(async (descriptor) => text(child.stdio[descriptor] as Readable));
    const exited = once(child, 'exit');
    if (measured.done !== undefined) {
      await Promise.race([measured.done(), exited]);
      const [, ...children] = child.pid === undefined ? [] : readProcessTree(child.pid);
      for (const { pid } of children) process.kill(pid, 'SIGINT');
    }
    const [exitCode] = (await exited) as [number | null];
    const seconds = (performance.now() - startedMs) / 1000;
    const [stdout = '', stderr = '', costs = ''] = await Promise.all(outputs);
    if (exitCode !== 0) {
      throw new Error(
        `run ${measured.command.join(' ')}: exit ${exitCode}\n${tail(stdout + stderr)}`,
      );
    }
    return {
      seconds,
      cpuSeconds: parseTimes(costs),
      serverCpuSeconds: serverCpuSeconds(measured.serverPid) - serverBefore,
      peakBytes,
      readBytes: parseReadBytes(costs),
    };
  } finally {
    clearInterval(sampler);
    forget();
  }
}

/** Measures what happens in the server, and in processes that it started and that left it (their command line names `named`). */
export async function measureServer(
  serverPid: number,
  named: string,
  act: () => Promise<void>,
): Promise<Measurement> {
  const strays = new Map<number, number>();
  const look = (): void => {
    for (const [pid, ticks] of strayTicks(named, serverPid)) strays.set(pid, ticks);
  };
  const before = serverCpuSeconds(serverPid);
  const startedMs = performance.now();
  const sampler = setInterval(look, SAMPLE_MS);
  try {
    await act();
  } finally {
    clearInterval(sampler);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  look();
  const strayed = [...strays.values()].reduce((sum, ticks) => sum + ticks, 0);
  return {
    seconds,
    cpuSeconds: ticksToSeconds(strayed),
    serverCpuSeconds: serverCpuSeconds(serverPid) - before,
    peakBytes: 0,
    readBytes: null,
  };
}

function parseReadBytes(output: string): number {
  return Number(/^rchar: (\d+)$/m.exec(output)?.[1] ?? 0);
}

/** `0m0.01s 0m0.00s` of the shell itself, then the line of its children. */
export function parseTimes(output: string): number {
  const [, children = ''] = output.trim().split('\n');
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`read the shell's times: "${output}"`);
  return parts.reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
}
