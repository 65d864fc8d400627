/**
 * Walnut beside pg_basebackup and pgBackRest: backups, restores and WAL of one cluster, in one run, on this machine.
 * Writes docs/benchmarks.md. `npm run bench -- --help` shows the options; what is not named is looked for on PATH.
 */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { must } from '../src/lib/assert.ts';
import { newCluster } from './bench-cluster.ts';
import { findContenders, findProgram } from './contenders/find.ts';
import { machineFacts } from './machine-facts.ts';
import { HELP, readOptions } from './options.ts';
import { renderReport } from './report.ts';
import { newResults } from './result.ts';
import { SCENARIOS } from './scenarios/scenarios.ts';

const REPORT = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));

const given = readOptions(process.argv.slice(2));
if (given === 'help') {
  console.log(HELP);
} else {
  await using cluster = await newCluster(given);
  const { binFolder } = cluster.server.binaries;
  const pgReceivewal = given.pgReceivewal ?? findProgram('pg_receivewal', [binFolder]);
  const options = { ...given, pgReceivewal };
  const contenders = await findContenders(options, cluster);
  console.log(`cluster: ${(cluster.bytes / 1e6).toFixed(0)} MB of mixed tables and indexes`);
  const results = newResults();
  const facts = await machineFacts(cluster);
  for (const name of options.scenarios) {
    await must(SCENARIOS[name], 'a known scenario')({ options, cluster, contenders, results });
    const { list } = results;
    const report = renderReport({ options, facts, contenders, results: list, cluster });
    await writeFile(options.output ?? REPORT, report);
  }
}
