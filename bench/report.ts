/** Renders docs/benchmarks.md. */
import type { Contender } from './contenders/contender.ts';
import type { MachineFacts } from './machine-facts.ts';
import type { Measurement } from './measure.ts';
import type { BenchOptions } from './options.ts';
import type { Run } from './rounds.ts';

export type ReportInput = {
  readonly options: BenchOptions;
  readonly facts: MachineFacts;
  readonly contenders: readonly Contender[];
  readonly runs: readonly Run[];
  readonly clusterBytes: number;
};

type Operation = 'backup' | 'restore';

const REFERENCE = 'pgbackrest';
const SUBJECT = 'walnut';

export function renderReport(input: ReportInput): string {
  const { options, contenders } = input;
  const sections = options.levels.flatMap((level) =>
    (['backup', 'restore'] as const).map((operation) => section(input, level, operation)),
  );
  return `# Benchmarks

<!-- Written by bench/bench.ts: run it, do not edit. -->

Full backup and restore of one cluster by each program, in one run on one machine, taking turns: medians of
${options.repetitions} repetitions, ${options.jobs} jobs. Compare the columns of this page with each other and with nothing else.

${factLines(input)}

| program | version | set up |
|---|---|---|
${contenders.map(({ name, version, setUp }) => `| ${name} | ${version} | ${setUp} |`).join('\n')}

${sections.join('\n\n')}

## How to read it

* **MB/s** counts bytes of the cluster, not stored ones. Before each measured command: \`CHECKPOINT\` and \`sync\`; data files are in the
  page cache. Everyone syncs what it writes, and the WAL a backup needs is stored within the measured time.
* **CPU s** is user and system time of the program with all its processes and threads; **server CPU s** is what the PostgreSQL server
  and its archive commands spent meanwhile. **Peak MB** is the largest sum of the proportional set sizes of the program's
  processes, sampled 20 times a second. **Stored MB** leaves WAL out.
* The tables hold prose, numbers, times, uuids and JSON with dead rows and indexes (\`bench/mixed-tables.ts\`), not the filler of pgbench,
  which compresses thirty to one and hides what compression costs.
* With a load average above the number of cores others were at work: then believe CPU seconds and stored bytes, not seconds.
* Each restored copy is compared with the cluster's size, file bytes for file bytes, and is not started.

To repeat it: \`npm run bench -- --help\`.
`;
}

function factLines({ facts, clusterBytes }: ReportInput): string {
  const lines = [
    new Date().toISOString().slice(0, 10),
    `cluster ${megabytes(clusterBytes)} MB, PostgreSQL ${facts.postgresql}, data checksums on`,
    `${facts.processor}, ${facts.cores} cores, ${Math.round(facts.memoryBytes / 2 ** 30)} GiB, Linux ${facts.kernel}, ${facts.fileSystem}`,
    `Node ${facts.node}; load average over the last 15 minutes ${facts.loadAverage.toFixed(1)}`,
  ];
  return lines.map((line) => `* ${line}`).join('\n');
}

function section(input: ReportInput, level: number, operation: Operation): string {
  const rows = input.contenders.map(({ name }) => {
    const runs = input.runs.filter((run) => run.contender === name && run.level === level);
    return row(name, runs, { operation, clusterBytes: input.clusterBytes });
  });
  return `## ${operation === 'backup' ? 'Full backup' : 'Restore'}, zstd-${level}

| program | s | MB/s | CPU s | server CPU s | peak MB | stored MB |
|---|---:|---:|---:|---:|---:|---:|
${rows.join('\n')}
${ratioLine(input, level, operation)}`;
}

function row(
  name: string,
  runs: readonly Run[],
  about: { readonly operation: Operation; readonly clusterBytes: number },
): string {
  const of = (pick: (measurement: Measurement) => number): number =>
    median(runs.map((run) => pick(run[about.operation])));
  const seconds = of((measurement) => measurement.seconds);
  const cells = [
    name,
    seconds.toFixed(2),
    (about.clusterBytes / 1e6 / seconds).toFixed(0),
    of((measurement) => measurement.cpuSeconds).toFixed(2),
    of((measurement) => measurement.serverCpuSeconds).toFixed(2),
    megabytes(of((measurement) => measurement.peakBytes)),
    megabytes(median(runs.map(({ storedBytes }) => storedBytes))),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** The ratio of each repetition, then their median: what slows a round down slows both down. */
function ratioLine(input: ReportInput, level: number, operation: Operation): string {
  const ratioOf = (cost: (measurement: Measurement) => number): number => {
    const ratios = Array.from({ length: input.options.repetitions }, (_, repetition) => {
      const costOf = (contender: string): number | undefined => {
        const run = input.runs.find(
          (one) =>
            one.contender === contender && one.level === level && one.repetition === repetition,
        );
        return run === undefined ? undefined : cost(run[operation]);
      };
      const [ours, theirs] = [costOf(SUBJECT), costOf(REFERENCE)];
      return ours === undefined || theirs === undefined ? [] : [ours / theirs];
    }).flat();
    return ratios.length === 0 ? Number.NaN : median(ratios);
  };
  const seconds = ratioOf((measurement) => measurement.seconds);
  if (Number.isNaN(seconds)) return '';
  const cpu = ratioOf((measurement) => measurement.cpuSeconds + measurement.serverCpuSeconds);
  return `\nWalnut takes ${seconds.toFixed(2)} × pgBackRest's time and ${cpu.toFixed(2)} × its CPU, the server's included (medians of the repetitions' ratios).`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((first, second) => first - second);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[middle - 1] ?? sorted[middle], sorted[middle]];
  return sorted.length % 2 === 0 ? (low + high) / 2 : high;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
