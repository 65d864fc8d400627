import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { BenchCluster } from '../bench-cluster.ts';
import type { BenchOptions } from '../options.ts';
import type { Contender } from './contender.ts';
import { pgBasebackupContender } from './pg-basebackup.ts';
import { pgbackrestContender } from './pgbackrest.ts';
import { walnutContender } from './walnut.ts';

/** Everyone who can run here; a program that is not found is left out, and said so. */
export async function findContenders(
  options: BenchOptions,
  cluster: BenchCluster,
): Promise<Contender[]> {
  const { binFolder } = cluster.server.binaries;
  const basebackup = options.pgBasebackup ?? findProgram('pg_basebackup', [binFolder]);
  const pgbackrest = options.pgbackrest ?? findProgram('pgbackrest', []);
  const makers: Record<string, (() => Promise<Contender>) | undefined> = {
    walnut: async () => walnutContender(cluster),
    pg_basebackup:
      basebackup === undefined ? undefined : async () => pgBasebackupContender(basebackup),
    pgbackrest: pgbackrest === undefined ? undefined : async () => pgbackrestContender(pgbackrest),
  };
  const contenders: Contender[] = [];
  for (const [name, make] of Object.entries(makers)) {
    if (options.only?.includes(name) === false) continue;
    if (make === undefined) console.log(`${name}: not found, left out`);
    else contenders.push(await make());
  }
  return contenders;
}

export function findProgram(name: string, first: readonly string[]): string | undefined {
  const folders = [...first, ...(process.env['PATH'] ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, name)).find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
