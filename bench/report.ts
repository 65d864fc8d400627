/** Renders docs/benchmarks.md. */
import type { BenchCluster } from './bench-cluster.ts';
import type { Contender } from './contenders/contender.ts';
import type { MachineFacts } from './machine-facts.ts';
import type { Measurement } from './measure.ts';
import type { BenchOptions } from './options.ts';
import type { Result } from './result.ts';

export type ReportInput = {
  readonly options: BenchOptions;
  readonly facts: MachineFacts;
  readonly contenders: readonly Contender[];
  readonly results: readonly Result[];
  readonly cluster: BenchCluster;
};

/** Who Walnut is held against, the first that took part in a section. */
const REFERENCES = ['pgbackrest', 'pg_receivewal'];
const SUBJECT = 'walnut';

export function renderReport(input: ReportInput): string {
  const { options, contenders, results } = input;
  const titles = [...new Set(results.map(({ section }) => section))];
  const sections = titles.map((title) =>
    renderSection(
      title,
      results.filter(({ section }) => section === title),
    ),
  );
  return `# Benchmarks

<!-- Written by bench/bench.ts: run it, do not edit. -->

Backups, restores and WAL of one cluster by each program, in one run on one machine, taking turns: medians of
${options.repetitions} repetitions, ${options.jobs} jobs. Compare the rows of a table with each other and with nothing else.

${factLines(input)}

| program | version | set up |
|---|---|---|
${contenders.map(({ name, version, setUp }) => `| ${name} | ${version} | ${setUp} |`).join('\n')}

${sections.join('\n\n')}

${HOW_TO_READ}`;
}

const HOW_TO_READ = `## How to read it

* **MB/s** counts bytes of the cluster, in an incremental backup those of the pages that changed, never stored ones. Before each measured command:
  \`CHECKPOINT\` and \`sync\`; data files are in the page cache. Everyone syncs what it writes, and the WAL a backup needs is stored within
  the measured time.
* **CPU s** is user and system time of the program with all its processes and threads; **server CPU s** is what the PostgreSQL server
  and its archive commands spent meanwhile. **Peak MB** is the largest sum of the proportional set sizes of the program's
  processes, sampled 20 times a second. **Read MB** is what its processes asked of files and sockets (\`rchar\`), page cache or not.
  With Walnut that counts the WAL segments, 16 MB each, that a backup takes from pg_wal itself.
  **Stored MB** is what was added to the repository, WAL left out.
* The tables hold prose, numbers, times, uuids and JSON with dead rows and indexes (\`bench/mixed-tables.ts\`), not the filler of pgbench,
  which compresses thirty to one and hides what compression costs. Changes are updates of single rows in random pages; index pages that
  change along are counted.
* With a load average above the number of cores others were at work: then believe CPU seconds, read and stored bytes, not seconds.
* Each restored copy is compared with the cluster's size, file bytes for file bytes, and is not started. Copies that are compared
  with each other are removed together: for a minute after files were removed, making others is slower on ext4.

To repeat it: \`npm run bench -- --help\`.
`;

function factLines({ facts, cluster }: ReportInput): string {
  const lines = [
    new Date().toISOString().slice(0, 10),
    `cluster ${megabytes(cluster.bytes)} MB, PostgreSQL ${facts.postgresql}, data checksums on`,
    `${facts.processor}, ${facts.cores} cores, ${Math.round(facts.memoryBytes / 2 ** 30)} GiB, Linux ${facts.kernel}, ${facts.fileSystem}`,
    `Node ${facts.node}; load average over the last 15 minutes ${facts.loadAverage.toFixed(1)} before the first measurement`,
  ];
  return lines.map((line) => `* ${line}`).join('\n');
}

function renderSection(title: string, results: readonly Result[]): string {
  const names = [...new Set(results.map(({ contender }) => contender))].toSorted();
  const rows = names.map((name) =>
    row(
      name,
      results.filter(({ contender }) => contender === name),
    ),
  );
  return `## ${title}

| program | s | MB/s | CPU s | server CPU s | peak MB | read MB | stored MB |
|---|---:|---:|---:|---:|---:|---:|---:|
${rows.join('\n')}
${ratioLine(results)}`;
}

function row(name: string, results: readonly Result[]): string {
  const of = (pick: (measurement: Measurement) => number): number =>
    median(results.map(({ measurement }) => pick(measurement)));
  const cells = [
    name,
    of(({ seconds }) => seconds).toFixed(2),
    medianOrDash(results, ({ amountBytes, measurement }) =>
      amountBytes === null ? null : amountBytes / measurement.seconds,
    ),
    of(({ cpuSeconds }) => cpuSeconds).toFixed(2),
    of(({ serverCpuSeconds }) => serverCpuSeconds).toFixed(2),
    medianOrDash(results, ({ measurement: { peakBytes } }) => (peakBytes === 0 ? null : peakBytes)),
    medianOrDash(results, ({ measurement }) => measurement.readBytes),
    medianOrDash(results, ({ storedBytes }) => storedBytes),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Megabytes with three digits that say something. */
function medianOrDash(results: readonly Result[], pick: (result: Result) => number | null): string {
  const values = results.map(pick).filter((value) => value !== null);
  return values.length === 0 ? '–' : megabytes(median(values));
}

/** The ratio of each repetition, then their median: what slows a round down slows both down. */
function ratioLine(results: readonly Result[]): string {
  const reference = REFERENCES.find((name) => results.some(({ contender }) => contender === name));
  if (reference === undefined) return '';
  const ratioOf = (cost: (measurement: Measurement) => number): number | null => {
    const ratios = results.flatMap((ours) => {
      const theirs = results.find(
        ({ contender, repetition }) => contender === reference && repetition === ours.repetition,
      );
      if (ours.contender !== SUBJECT || theirs === undefined) return [];
      return [cost(ours.measurement) / cost(theirs.measurement)];
    });
    return ratios.length === 0 ? null : median(ratios);
  };
  const seconds = ratioOf((measurement) => measurement.seconds);
  const cpu = ratioOf(({ cpuSeconds, serverCpuSeconds }) => cpuSeconds + serverCpuSeconds);
  if (seconds === null || cpu === null) return '';
  return `\nWalnut takes ${seconds.toFixed(2)} × ${reference}'s time and ${cpu.toFixed(2)} × its CPU, the server's included (medians of the repetitions' ratios).`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((first, second) => first - second);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[middle - 1] ?? sorted[middle], sorted[middle]];
  return sorted.length % 2 === 0 ? (low + high) / 2 : high;
}

function megabytes(bytes: number): string {
  const value = bytes / 1e6;
  return value.toFixed(value < 10 ? 2 : 0);
}
