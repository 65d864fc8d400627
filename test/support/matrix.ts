import { inject } from 'vitest';
import { SUPPORTED_MAJORS, type MajorVersion } from '../../src/postgres/version.ts';
import { drawFrom, drawSeed, pickOne, seededRandom } from './random.ts';

/** One version of PostgreSQL to test with, and how much of each test to run on it. */
export type MatrixRow = {
  readonly major: MajorVersion;
  readonly extent: 'full' | 'drawn';
  /** All choices on a full row; one of them, by the run's seed and `purpose`, on a drawn row. */
  readonly select: <T>(purpose: string, choices: readonly T[]) => readonly T[];
};

export type MatrixEnvironment = {
  readonly seed: string;
  /** Everything on every version. */
  readonly full: boolean;
  /** Only these versions, for work on one of them. */
  readonly majors?: readonly number[] | undefined;
};

/** The oldest and the newest version run everything in every run; faults between them show in some runs soon. */
const ALWAYS_FULL: readonly MajorVersion[] = [13, 18];

/**
 * The versions of this run: 13 and 18 in full, 14 to 17 by draw. `WALNUT_TEST_MATRIX=full` runs all in full,
 * `WALNUT_TEST_MAJORS=15,16` only those, `WALNUT_TEST_SEED` repeats a draw.
 */
export function testMatrix(environment: MatrixEnvironment = readEnvironment()): MatrixRow[] {
  const { seed, full, majors } = environment;
  return SUPPORTED_MAJORS.filter((major) => majors?.includes(major) !== false).map((major) => {
    const extent = full || ALWAYS_FULL.includes(major) ? 'full' : 'drawn';
    return {
      major,
      extent,
      select: (purpose, choices) =>
        extent === 'full'
          ? choices
          : [pickOne(seededRandom(`${seed}/${major}/${purpose}`), choices)],
    };
  });
}

/** The seed of this run, the same in every worker. */
export function testSeed(): string {
  return inject('testSeed') ?? drawSeed();
}

/** True for `npm run test:matrix`. */
export function isFullMatrix(): boolean {
  return process.env['WALNUT_TEST_MATRIX'] === 'full';
}

function readEnvironment(): MatrixEnvironment {
  return {
    seed: testSeed(),
    full: isFullMatrix(),
    majors: process.env['WALNUT_TEST_MAJORS']?.split(',').map(Number),
  };
}

/** `few` in every run, `all` with WALNUT_TEST_MATRIX=full: for tests whose versions differ little, so that a run stays short. */
export function versions(
  few: readonly MajorVersion[],
  all: readonly MajorVersion[],
): readonly MajorVersion[] {
  return isFullMatrix() ? all : few;
}

/** One version by the run's seed, another one in the next run; all with WALNUT_TEST_MATRIX=full. */
export function drawnVersion(purpose: string): readonly MajorVersion[] {
  const drawn = pickOne(seededRandom(`${testSeed()}/${purpose}`), SUPPORTED_MAJORS);
  return versions([drawn], SUPPORTED_MAJORS);
}

/** So many of the cases, in their order, by the run's seed; others in the next run, all with WALNUT_TEST_MATRIX=full. */
export function drawnCases<T>(purpose: string, count: number, cases: readonly T[]): readonly T[] {
  if (isFullMatrix()) return cases;
  return drawFrom(cases, count, seededRandom(`${testSeed()}/${purpose}`));
}

export type VersionAndSource = {
  readonly major: MajorVersion;
  readonly source: 'local' | 'connection';
};

/** `few` in every run; with WALNUT_TEST_MATRIX=full each of the versions from each source that picks pages. */
export function versionsAndSources(
  few: readonly VersionAndSource[],
  all: readonly MajorVersion[],
): readonly VersionAndSource[] {
  if (!isFullMatrix()) return few;
  const sources = ['local', 'connection'] as const;
  return all.flatMap((major) => sources.map((source) => ({ major, source })));
}
