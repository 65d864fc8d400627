import { defineConfig } from 'vitest/config';
import { PlainSummary } from './test/support/plain-summary.ts';

/** One more than two cores: a test of real servers often waits for one of them. With the same number both projects share it. */
const WORKERS = 3;

/** `unit` runs anywhere in seconds; `postgresql` starts real servers (`*.pg.test.ts`). */
export default defineConfig({
  test: {
    reporters: ['default', new PlainSummary()],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['**/*.pg.test.ts', 'node_modules/**'],
          testTimeout: 20_000,
          maxWorkers: WORKERS,
        },
      },
      {
        test: {
          name: 'postgresql',
          include: ['src/**/*.pg.test.ts', 'test/**/*.pg.test.ts'],
          globalSetup: ['test/support/stage-installation.ts'],
          // Every wait inside has its own, shorter limit and says what did not come; these only end what hangs without one.
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers: WORKERS,
        },
      },
    ],
  },
});
