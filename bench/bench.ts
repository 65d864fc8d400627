/**
 * Walnut beside pg_basebackup and pgBackRest: full backup and restore of one cluster, in one run, on this machine.
 * Writes docs/benchmarks.md. `npm run bench -- --help` shows the options; what is not named is looked for on PATH.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { newCluster } from './bench-cluster.ts';
import { findContenders } from './contenders/find.ts';
import { machineFacts } from './machine-facts.ts';
import { HELP, readOptions } from './options.ts';
import { renderReport } from './report.ts';
import { runRounds } from './rounds.ts';

const REPORT = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));

const options = readOptions(process.argv.slice(2));
if (options === 'help') {
  console.log(HELP);
} else {
  await using cluster = await newCluster(options);
  const contenders = await findContenders(options, cluster);
  console.log(`cluster: ${(cluster.bytes / 1e6).toFixed(0)} MB of mixed tables and indexes`);
  const runs = await runRounds(contenders, { ...options, cluster });
  const facts = await machineFacts(cluster);
  const report = renderReport({ options, facts, contenders, runs, clusterBytes: cluster.bytes });
  await writeFile(options.output ?? REPORT, report);
  console.log(report);
}
