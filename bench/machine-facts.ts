import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import type { BenchCluster } from './bench-cluster.ts';

/** What a reader must know of the machine; nothing that names it. */
export type MachineFacts = {
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly fileSystem: string;
  readonly node: string;
  readonly postgresql: string;
  readonly loadAverage: number;
};

export async function machineFacts({ workFolder, server }: BenchCluster): Promise<MachineFacts> {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    fileSystem: execFileSync('stat', ['-f', '-c', '%T', workFolder], { encoding: 'utf8' }).trim(),
    node: process.versions.node,
    postgresql: server.binaries.version,
    loadAverage: loadavg()[2] ?? 0,
  };
}
