import { writeSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

const STDOUT = 1;

/** Ends the output of a run with one plain line, `N passed, N failed, N skipped`, for readers that know no runner's colours. */
export class PlainSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      let failedInside = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        count[state] += 1;
        if (state === 'failed') failedInside += 1;
      }
      // A file that could not be loaded, or whose hook failed.
      if (module.state() === 'failed' && failedInside === 0) count.failed += 1;
    }
    const line = `${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped\n`;
    process.once('exit', () => writeSync(STDOUT, line));
  }
}
