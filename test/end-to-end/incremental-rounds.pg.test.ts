/**
 * Incremental and differential backups of clusters to which anything happens, restored and compared with the live
 * server and with a full backup at the same point. Everything is drawn from the seed of the run; a failure prints it
 * with the story that led there, and `WALNUT_TEST_SEED=… npm test` tells it again.
 */
import { describe, expect, test } from 'vitest';
import { SUPPORTED_MAJORS } from '../../src/postgres/version.ts';
import {
  isFullMatrix,
  testSeed,
  versionsAndSources,
  type VersionAndSource,
} from '../support/matrix.ts';
import { pickOne, seededRandom } from '../support/random.ts';
import { runRounds } from '../support/rounds/rounds.ts';

/** Few in a run that somebody waits for; `WALNUT_TEST_ROUNDS` asks for as many as one has time for. */
const ROUNDS = Number(process.env['WALNUT_TEST_ROUNDS'] ?? (isFullMatrix() ? 20 : 2));
const LIMIT_MS = 30 * 60_000;

/** Of the versions that are asked for, another one for each source in each run; all of them in the matrix. */
function cases(): readonly VersionAndSource[] {
  const asked = process.env['WALNUT_TEST_MAJORS']?.split(',');
  const majors = SUPPORTED_MAJORS.filter((major) => asked?.includes(String(major)) !== false);
  const random = seededRandom(`${testSeed()}/rounds`);
  const drawn = (['local', 'connection'] as const).map((source) => ({
    major: pickOne(random, majors),
    source,
  }));
  return versionsAndSources(drawn, majors);
}

describe.each(cases())('PostgreSQL $major, from $source', ({ major, source }) => {
  test(
    `${ROUNDS} rounds of work, each backed up, come back as they were`,
    async () => {
      const seed = `${testSeed()}/${major}/${source}`;
      expect(await runRounds({ major, source, seed, rounds: ROUNDS })).toEqual([]);
    },
    LIMIT_MS,
  );
});
