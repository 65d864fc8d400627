import type { Measurement } from './measure.ts';

/** One measured command. Results of one section are compared with each other. */
export type Result = {
  readonly section: string;
  readonly contender: string;
  readonly repetition: number;
  readonly measurement: Measurement;
  /** What MB/s counts; null where a rate means nothing. */
  readonly amountBytes: number | null;
  /** What the command added to the repository, WAL left out; null where that means nothing. */
  readonly storedBytes: number | null;
};

export type Results = {
  readonly list: Result[];
  add(result: Result): void;
};

/** Collects results and shows each on the terminal as it comes. */
export function newResults(): Results {
  const list: Result[] = [];
  return {
    list,
    add(result) {
      list.push(result);
      const { section, contender, measurement } = result;
      const { seconds, cpuSeconds } = measurement;
      console.log(
        `${section}: ${contender} ${seconds.toFixed(2)} s, CPU ${cpuSeconds.toFixed(2)} s`,
      );
    },
  };
}
