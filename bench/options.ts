import { parseArgs } from 'node:util';
import { SCENARIOS } from './scenarios/scenarios.ts';
import { parseSize } from '../src/config/quantities.ts';

export type BenchOptions = {
  readonly sizeBytes: number;
  readonly jobs: number;
  readonly levels: readonly number[];
  /** How often each contender does each thing; medians are reported. */
  readonly repetitions: number;
  /** Names of scenarios. */
  readonly scenarios: readonly string[];
  /** WAL that the WAL scenarios write, in segments of 16 MB. */
  readonly walSegments: number;
  /** How many small relations there are in the scenario of that name. */
  readonly relations: number;
  readonly pgReceivewal: string | undefined;
  readonly pgbackrest: string | undefined;
  readonly pgBasebackup: string | undefined;
  /** Folder of PostgreSQL's server programs. */
  readonly postgresql: string | undefined;
  /** Only these contenders. */
  readonly only: readonly string[] | undefined;
  /** Where the report goes instead of docs/benchmarks.md. */
  readonly output: string | undefined;
};

export const HELP = `node bench/bench.ts [options]
  --size SIZE             of the cluster, about (1GB)
  --jobs N                workers of each contender (2)
  --levels L,L            zstd levels (1,3)
  --repetitions N         medians of N (3)
  --scenarios NAME,NAME   of full, incremental, chain, wal-push, wal-receive, small-relations (all)
  --wal-segments N        of WAL in the two WAL scenarios (64)
  --relations N           in small-relations (100000)
  --only NAME,NAME        of walnut, pg_basebackup, pgbackrest
  --pgbackrest PATH       the program; else the one on PATH
  --pg-basebackup PATH    the program; else the one beside the server's programs, or on PATH
  --pg-receivewal PATH    the program; else the one beside the server's programs, or on PATH
  --postgresql FOLDER     PostgreSQL 18's server programs; else installed ones
  --output FILE           write the report there`;

export function readOptions(args: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '1GB' },
      jobs: { type: 'string', default: '2' },
      levels: { type: 'string', default: '1,3' },
      repetitions: { type: 'string', default: '3' },
      scenarios: { type: 'string', default: Object.keys(SCENARIOS).join(',') },
      'wal-segments': { type: 'string', default: '64' },
      relations: { type: 'string', default: '100000' },
      'pg-receivewal': { type: 'string' },
      only: { type: 'string' },
      pgbackrest: { type: 'string' },
      'pg-basebackup': { type: 'string' },
      postgresql: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    sizeBytes: parseSize(values.size),
    jobs: positive(values.jobs),
    levels: values.levels.split(',').map((level) => positive(level)),
    repetitions: positive(values.repetitions),
    scenarios: values.scenarios.split(',').map((name) => scenarioName(name)),
    walSegments: positive(values['wal-segments']),
    relations: positive(values.relations),
    pgReceivewal: values['pg-receivewal'],
    only: values.only?.split(','),
    pgbackrest: values.pgbackrest,
    pgBasebackup: values['pg-basebackup'],
    postgresql: values.postgresql,
    output: values.output,
  };
}

function scenarioName(name: string): string {
  if (Object.hasOwn(SCENARIOS, name)) return name;
  throw new RangeError(`"${name}" is none of ${Object.keys(SCENARIOS).join(', ')}`);
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`"${text}" is no positive whole number`);
}
