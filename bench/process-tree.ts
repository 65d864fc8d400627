/** Processes of this machine as proc(5) shows them. */
import { readdirSync, readFileSync } from 'node:fs';

/** `sysconf(_SC_CLK_TCK)`: 100 on every Linux that Walnut runs on. */
const TICKS_PER_SECOND = 100;

type ProcessStat = { readonly pid: number; readonly parent: number; readonly ticks: number };

/** The process and all its descendants that are alive. */
export function readProcessTree(root: number): ProcessStat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? []);
  const tree = all.filter(({ pid }) => pid === root);
  for (let at = 0; at < tree.length; at += 1) {
    tree.push(...all.filter(({ parent }) => parent === tree[at]?.pid));
  }
  return tree;
}

/** CPU seconds of a server's processes so far, those that have ended and were waited for included. */
export function serverCpuSeconds(serverPid: number): number {
  const ticks = readProcessTree(serverPid).reduce((sum, process) => sum + process.ticks, 0);
  return ticks / TICKS_PER_SECOND;
}

/** Ticks so far of processes whose command line names something and that have left a tree, such as daemons of its children. */
export function strayTicks(named: string, root: number): Map<number, number> {
  const inside = new Set(readProcessTree(root).map(({ pid }) => pid));
  const ticks = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || inside.has(pid)) continue;
    if (!readIfAlive(`/proc/${pid}/cmdline`).includes(named)) continue;
    ticks.set(pid, readStat(pid)?.ticks ?? 0);
  }
  return ticks;
}

export function ticksToSeconds(ticks: number): number {
  return ticks / TICKS_PER_SECOND;
}

export function sumPssBytes(tree: readonly ProcessStat[]): number {
  return tree.reduce((sum, { pid }) => sum + pssBytes(pid), 0);
}

/** Fields 4, 14, 15, 16 and 17 of /proc/pid/stat; the name in field 2 may hold spaces and parentheses. */
function readStat(pid: number): ProcessStat | null {
  const stat = readIfAlive(`/proc/${pid}/stat`);
  if (stat === '') return null;
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
  return { pid, parent: fields[1] ?? 0, ticks };
}

function pssBytes(pid: number): number {
  const [, kilobytes = '0'] =
    /^Pss: +(\d+) kB/m.exec(readIfAlive(`/proc/${pid}/smaps_rollup`)) ?? [];
  return Number(kilobytes) * 1024;
}

function readIfAlive(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
